using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Dunlin.Testing;

/// <summary>An expectation was not met: the message has what arrived and the nearest miss.</summary>
public sealed class Unmet(string problem) : Exception(problem);

/// <summary>
/// The MQTT broker dunlin for tests, with faults, a clock to advance, and expectations. .NET 8, nothing else.
/// <code>
/// await using var broker = await DunlinBroker.Start();
/// StartMyClient(broker.Port);
/// await broker.Expect(new { filter = "rooms/+", payload = "on" });
/// </code>
/// The program is searched in PATH, or at DUNLIN.
/// </summary>
public sealed class DunlinBroker : IAsyncDisposable
{
    private readonly Process process;
    private readonly HttpClient client = new() { Timeout = Timeout.InfiniteTimeSpan };
    private readonly string http;

    /// <summary>The port of MQTT on 127.0.0.1.</summary>
    public int Port { get; }

    private DunlinBroker(Process process, JsonNode ready)
    {
        this.process = process;
        http = (string)ready["http"]![0]!;
        Port = (int)ready["listeners"]![0]!["port"]!;
    }

    /// <summary>Starts a broker on a free port; flags are those of dunlin test.</summary>
    public static async Task<DunlinBroker> Start(params string[] flags)
    {
        var place = Directory.CreateTempSubdirectory("dunlin-");
        try
        {
            var file = Path.Combine(place.FullName, "ready.json");
            var program = Environment.GetEnvironmentVariable("DUNLIN") ?? "dunlin";
            // standard input is a pipe, which closes when this process ends in any way
            var start = new ProcessStartInfo(program) { RedirectStandardInput = true };
            foreach (var flag in (string[])["test", "--exit-with-parent", "--ready-file", file, .. flags])
            {
                start.ArgumentList.Add(flag);
            }
            var process = Process.Start(start)!;
            while (!File.Exists(file))
            {
                if (process.HasExited)
                {
                    throw new InvalidOperationException($"dunlin did not start: exit code {process.ExitCode}");
                }
                await Task.Delay(2);
            }
            return new DunlinBroker(process, JsonNode.Parse(await File.ReadAllTextAsync(file))!);
        }
        finally
        {
            place.Delete(true);
        }
    }

    /// <summary>Calls /test/v1/PATH and returns the answer.</summary>
    public async Task<JsonNode> Call(HttpMethod method, string path, object? body = null)
    {
        using var request = new HttpRequestMessage(method, $"{http}/test/v1/{path}");
        request.Content = new StringContent(JsonSerializer.Serialize(body ?? new { }), Encoding.UTF8, "application/json");
        using var answer = await client.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        return answer.StatusCode switch
        {
            HttpStatusCode.OK => JsonNode.Parse(text)!,
            HttpStatusCode.Conflict => throw new Unmet(text),
            _ => throw new ArgumentException(text),
        };
    }

    /// <summary>Waits until the expectation is met and returns the messages. docs/testing.md lists all expectations.</summary>
    public Task<JsonNode> Expect(object what) => Call(HttpMethod.Post, "expect", what);

    /// <summary>Advances the clock: "25h".</summary>
    public Task Advance(string by) => Call(HttpMethod.Post, "clock", new { advance = by });

    /// <summary>Removes everything.</summary>
    public Task Reset() => Call(HttpMethod.Post, "reset");

    /// <summary>Ends the broker as by kill -9 and starts it again on the same port.</summary>
    public Task Restart() => Call(HttpMethod.Post, "restart");

    /// <summary>Sets a fault: <c>Fault("drop", new { packet = "PUBACK" })</c>.</summary>
    public Task Fault(object @do, object when) => Call(HttpMethod.Post, "faults", new Dictionary<string, object> { ["do"] = @do, ["when"] = when });

    /// <summary>Ends the broker.</summary>
    public async ValueTask DisposeAsync()
    {
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        process.Dispose();
        client.Dispose();
    }
}
