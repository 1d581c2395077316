import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * The MQTT broker dunlin for tests, with faults, a clock to advance, and expectations. Java 17, nothing else.
 *
 * <pre>
 * try (var broker = DunlinBroker.start()) {
 *     startMyClient(broker.port());
 *     broker.expect("""
 *         {"filter": "rooms/+", "json_path": {"$.t": 21}}""");
 * }
 * </pre>
 * <p>The program is searched in PATH, or at DUNLIN. Bodies and answers are JSON as text: any library reads them.
 */
public final class DunlinBroker implements AutoCloseable {
    /** An expectation was not met: the message has what arrived and the nearest miss. */
    public static final class Unmet extends AssertionError {
        Unmet(String problem) { super(problem); }
    }

    private final Process process;
    private final String http;
    private final int port;
    private final HttpClient client = HttpClient.newHttpClient();

    private DunlinBroker(Process process, String ready) {
        this.process = process;
        this.http = find(ready, "\"http\":\\[\"([^\"]+)\"");
        this.port = Integer.parseInt(find(ready, "\"port\":(\\d+)"));
    }

    /** Starts a broker on a free port; flags are those of dunlin test. */
    public static DunlinBroker start(String... flags) throws IOException, InterruptedException {
        var program = System.getenv().getOrDefault("DUNLIN", "dunlin");
        var file = Files.createTempDirectory("dunlin-").resolve("ready.json");
        try {
            var command = new ArrayList<>(List.of(program, "test", "--exit-with-parent", "--ready-file", file.toString()));
            command.addAll(List.of(flags));
            // standard input is a pipe, which closes when this process ends in any way
            var process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            while (!Files.exists(file)) {
                if (!process.isAlive()) {
                    throw new IOException("dunlin did not start: exit code " + process.exitValue());
                }
                Thread.sleep(2);
            }
            return new DunlinBroker(process, Files.readString(file));
        } finally {
            Files.deleteIfExists(file);
            Files.deleteIfExists(file.getParent());
        }
    }

    private static String find(String text, String pattern) {
        return Pattern.compile(pattern).matcher(text).results().findFirst()
            .orElseThrow(() -> new IllegalStateException("not in the ready file: " + pattern)).group(1);
    }

    /** The port of MQTT on 127.0.0.1. */
    public int port() { return port; }

    /** Calls /test/v1/PATH and returns the answer. */
    public String call(String method, String path, String body) {
        var request = HttpRequest.newBuilder(URI.create(http + "/test/v1/" + path))
            .method(method, HttpRequest.BodyPublishers.ofString(body)).build();
        try {
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            return switch (answer.statusCode()) {
                case 200 -> answer.body();
                case 409 -> throw new Unmet(answer.body());
                default -> throw new IllegalArgumentException(answer.body());
            };
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(error);
        }
    }

    /** Waits until the expectation is met and returns the messages. docs/testing.md lists all expectations. */
    public String expect(String what) { return call("POST", "expect", what); }

    /** Advances the clock: "25h". */
    public void advance(String by) { call("POST", "clock", "{\"advance\": \"" + by + "\"}"); }

    /** Removes everything. */
    public void reset() { call("POST", "reset", "{}"); }

    /** Ends the broker as by kill -9 and starts it again on the same port. */
    public void restart() { call("POST", "restart", "{}"); }

    /** Sets a fault: {@code {"when": {"packet": "PUBACK"}, "do": "drop"}}. */
    public void fault(String fault) { call("POST", "faults", fault); }

    @Override
    public void close() throws IOException, InterruptedException {
        process.getOutputStream().close();
        process.waitFor();
    }
}
