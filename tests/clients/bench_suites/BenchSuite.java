import java.io.DataInputStream;
import java.net.Socket;

/** The Java file of clients/: a message of QoS 1 whose PUBACK is lost, a day that passes, and an unmet expectation. */
public final class BenchSuite {
    public static void main(String[] arguments) throws Exception {
        try (var broker = DunlinBroker.start("--strict")) {
            broker.fault("""
                {"do": "drop", "when": {"packet": "PUBACK", "direction": "to_client"}}""");
            try (var socket = new Socket("127.0.0.1", broker.port())) {
                // CONNECT of "j", PUBLISH of "x" to "a", PINGREQ
                socket.getOutputStream().write("\u0010\r\0\u0004MQTT\u0004\u0002\0\0\0\u0001j2\6\0\1a\0\1x".getBytes("ISO-8859-1"));
                socket.getOutputStream().write(new byte[] {(byte) 0xC0, 0});
                var answer = new DataInputStream(socket.getInputStream());
                check(answer.readInt() == 0x20020000, "CONNACK");
                check(answer.readUnsignedShort() == 0xD000, "PINGRESP, without the PUBACK before it");
                broker.expect("""
                    {"filter": "a", "payload": "x", "client": "j"}""");
            }
            broker.advance("25h");
            try {
                broker.expect("""
                    {"filter": "never", "within": 0}""");
                throw new AssertionError("an expectation that nothing meets was met");
            } catch (DunlinBroker.Unmet unmet) {
                check(unmet.getMessage().contains("nearest"), "the nearest miss");
            }
            broker.restart();
            broker.reset();
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
