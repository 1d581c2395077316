package dunlin

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// The Go file of clients/: a message of QoS 1 whose PUBACK is lost, a day that passes, and an unmet expectation.
func TestBench(t *testing.T) {
	broker, err := Start("--strict")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Stop()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(broker.Fault("drop", map[string]any{"packet": "PUBACK", "direction": "to_client"}))
	socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", broker.Port))
	must(err)
	defer socket.Close()
	// CONNECT of "g", PUBLISH of "x" to "a", PINGREQ
	_, err = socket.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01g\x32\x06\x00\x01a\x00\x01x\xc0\x00"))
	must(err)
	answer := make([]byte, 6)
	_, err = io.ReadFull(socket, answer)
	must(err)
	if string(answer) != "\x20\x02\x00\x00\xd0\x00" {
		t.Fatalf("CONNACK and PINGRESP are expected: % x", answer)
	}
	must(broker.Expect(map[string]any{"filter": "a", "payload": "x", "client": "g"}))
	must(broker.Advance("25h"))
	err = broker.Expect(map[string]any{"filter": "never", "within": 0})
	if err == nil || !strings.Contains(err.Error(), "nearest") {
		t.Fatalf("an expectation that nothing meets: %v", err)
	}
	must(broker.Restart())
	must(broker.Reset())
}
