using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

namespace Dunlin.Testing
{
    /// <summary>An expectation was not met: the message has what arrived and the nearest miss.</summary>
    public sealed class UnmetException : Exception
    {
        internal UnmetException(string problem) : base(problem) { }
    }

    /// <summary>
    /// The MQTT broker dunlin for tests, with faults, a clock to advance, and expectations. C# 7, nothing else.
    /// <code>
    /// using (var broker = await DunlinBroker.StartAsync())
    /// {
    ///     StartMyClient(broker.Port);
    ///     await broker.ExpectAsync(@"{""filter"": ""rooms/+"", ""json_path"": {""$.t"": 21}}");
    /// }
    /// </code>
    /// The program is searched in PATH, or at DUNLIN. Bodies and answers are JSON as text: any library reads them.
    /// </summary>
    public sealed class DunlinBroker : IDisposable
    {
        private readonly Process process;
        private readonly HttpClient client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        private readonly string http;

        /// <summary>The port of MQTT on 127.0.0.1.</summary>
        public int Port { get; }

        private DunlinBroker(Process process, string ready)
        {
            this.process = process;
            http = Find(ready, "\"http\":\\[\"([^\"]+)\"");
            Port = int.Parse(Find(ready, "\"port\":(\\d+)"));
        }

        /// <summary>Starts a broker on a free port; flags are those of dunlin test.</summary>
        public static async Task<DunlinBroker> StartAsync(params string[] flags)
        {
            var file = Path.Combine(Path.GetTempPath(), $"dunlin-{Guid.NewGuid():N}.json");
            var program = Environment.GetEnvironmentVariable("DUNLIN") ?? "dunlin";
            // standard input is a pipe, which closes when this process ends in any way
            var start = new ProcessStartInfo(program) { RedirectStandardInput = true, UseShellExecute = false };
            // not ArgumentList, which Mono ignores
            var arguments = new[] { "test", "--exit-with-parent", "--ready-file", file }.Concat(flags);
            start.Arguments = string.Join(" ", arguments.Select(one => "\"" + Regex.Replace(one, "(\\\\*)(\"|$)", "$1$1$2").Replace("\"", "\\\"") + "\""));
            var process = Process.Start(start);
            try
            {
                while (!File.Exists(file))
                {
                    if (process.HasExited)
                    {
                        throw new InvalidOperationException($"dunlin did not start: exit code {process.ExitCode}");
                    }
                    await Task.Delay(2).ConfigureAwait(false);
                }
                return new DunlinBroker(process, File.ReadAllText(file));
            }
            catch
            {
                process.Dispose();
                throw;
            }
            finally
            {
                File.Delete(file);
            }
        }

        private static string Find(string text, string pattern)
        {
            var match = Regex.Match(text, pattern);
            return match.Success ? match.Groups[1].Value : throw new FormatException("not in the ready file: " + pattern);
        }

        /// <summary>Calls /test/v1/PATH and returns the answer.</summary>
        public async Task<string> CallAsync(HttpMethod method, string path, string body)
        {
            using (var request = new HttpRequestMessage(method, $"{http}/test/v1/{path}"))
            {
                request.Content = new StringContent(body, Encoding.UTF8, "application/json");
                using (var answer = await client.SendAsync(request).ConfigureAwait(false))
                {
                    var text = await answer.Content.ReadAsStringAsync().ConfigureAwait(false);
                    switch (answer.StatusCode)
                    {
                        case HttpStatusCode.OK: return text;
                        case HttpStatusCode.Conflict: throw new UnmetException(text);
                        default: throw new ArgumentException(text);
                    }
                }
            }
        }

        private Task<string> Post(string path, string body) => CallAsync(HttpMethod.Post, path, body);

        /// <summary>Waits until the expectation is met and returns the messages. docs/testing.md lists all expectations.</summary>
        public Task<string> ExpectAsync(string what) => Post("expect", what);

        /// <summary>Advances the clock: "25h".</summary>
        public Task AdvanceAsync(string by) => Post("clock", $"{{\"advance\": \"{by}\"}}");

        /// <summary>Removes everything.</summary>
        public Task ResetAsync() => Post("reset", "{}");

        /// <summary>Ends the broker as by kill -9 and starts it again on the same port.</summary>
        public Task RestartAsync() => Post("restart", "{}");

        /// <summary>Sets a fault: <c>{"when": {"packet": "PUBACK"}, "do": "drop"}</c>.</summary>
        public Task FaultAsync(string fault) => Post("faults", fault);

        /// <summary>Ends the broker.</summary>
        public void Dispose()
        {
            process.StandardInput.Close();
            process.WaitForExit();
            process.Dispose();
            client.Dispose();
        }
    }
}
