using System;
using System.Net.Sockets;
using System.Text;
using System.Threading.Tasks;
using Dunlin.Testing;

/// <summary>The C# file of clients/: a message of QoS 1 whose PUBACK is lost, a day that passes, an unmet expectation.</summary>
public static class BenchSuite
{
    public static void Main() => Run().GetAwaiter().GetResult();

    private static async Task Run()
    {
        using (var broker = await DunlinBroker.StartAsync("--strict"))
        {
            await broker.FaultAsync(@"{""do"": ""drop"", ""when"": {""packet"": ""PUBACK"", ""direction"": ""to_client""}}");
            using (var socket = new TcpClient("127.0.0.1", broker.Port))
            {
                var stream = socket.GetStream();
                // CONNECT of "s", PUBLISH of "x" to "a", PINGREQ
                var packets = "\u0010\r\0\u0004MQTT\u0004\u0002\0\0\0\u0001s2\u0006\0\u0001a\0\u0001x\u00C0\0";
                var bytes = Encoding.GetEncoding("ISO-8859-1").GetBytes(packets);
                stream.Write(bytes, 0, bytes.Length);
                Check(await Read(stream, 4) == "20-02-00-00", "CONNACK");
                Check(await Read(stream, 2) == "D0-00", "PINGRESP, without the PUBACK before it");
                var met = await broker.ExpectAsync(@"{""filter"": ""a"", ""payload"": ""x"", ""client"": ""s""}");
                Check(met.Contains("\"payload\":\"x\""), met);
            }
            await broker.AdvanceAsync("25h");
            try
            {
                await broker.ExpectAsync(@"{""filter"": ""never"", ""within"": 0}");
                throw new InvalidOperationException("an expectation that nothing meets was met");
            }
            catch (UnmetException unmet)
            {
                Check(unmet.Message.Contains("nearest"), "the nearest miss");
            }
            await broker.RestartAsync();
            await broker.ResetAsync();
        }
    }

    private static async Task<string> Read(NetworkStream stream, int count)
    {
        var bytes = new byte[count];
        for (var read = 0; read < count;)
        {
            var more = await stream.ReadAsync(bytes, read, count - read);
            Check(more > 0, "the connection was closed");
            read += more;
        }
        return BitConverter.ToString(bytes);
    }

    private static void Check(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }
}
