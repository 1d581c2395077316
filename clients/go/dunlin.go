// Package dunlin starts the MQTT broker dunlin for tests, with faults, a clock to turn, and expectations.
//
//	broker, err := dunlin.Start()
//	defer broker.Stop()
//	startMyClient(broker.URL)
//	err = broker.Expect(map[string]any{"filter": "rooms/+", "payload": "on"})
package dunlin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Broker runs until Stop, or until this process ends.
type Broker struct {
	// URL is where clients connect to, HTTP where /test/v1/ is.
	URL, HTTP string
	Port      int
	command   *exec.Cmd
	input     io.Closer
}

// Start starts a broker on a free port; flags are those of dunlin test. The program is in PATH, or at DUNLIN.
func Start(flags ...string) (*Broker, error) {
	program := os.Getenv("DUNLIN")
	if program == "" {
		program = "dunlin"
	}
	place, err := os.MkdirTemp("", "dunlin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(place)
	file := filepath.Join(place, "ready.json")
	command := exec.Command(program, append([]string{"test", "--exit-with-parent", "--ready-file", file}, flags...)...)
	command.Stderr = os.Stderr
	// the pipe closes when this process ends, in whatever way
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(2 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var ready struct {
			HTTP      []string
			Listeners []struct {
				URL  string
				Port int
			}
		}
		if err := json.Unmarshal(text, &ready); err != nil {
			return nil, err
		}
		first := ready.Listeners[0]
		return &Broker{URL: first.URL, HTTP: ready.HTTP[0], Port: first.Port, command: command, input: input}, nil
	}
	_ = command.Process.Kill()
	return nil, fmt.Errorf("dunlin did not start: %v", command.Wait())
}

// Stop ends the broker.
func (b *Broker) Stop() error {
	_ = b.input.Close()
	return b.command.Wait()
}

// Call asks /test/v1/PATH; the answer is read into answer, if that is not nil.
func (b *Broker) Call(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, b.HTTP+"/test/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s", said)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// Expect waits until it is true. docs/testing.md has what can be expected.
func (b *Broker) Expect(what map[string]any) error { return b.Call("POST", "expect", what, nil) }

// Advance turns the clock: "25h".
func (b *Broker) Advance(by string) error {
	return b.Call("POST", "clock", map[string]any{"advance": by}, nil)
}

// Reset forgets everything.
func (b *Broker) Reset() error { return b.Call("POST", "reset", map[string]any{}, nil) }

// Restart ends the broker as by kill -9 and starts it again on the same port.
func (b *Broker) Restart() error { return b.Call("POST", "restart", map[string]any{}, nil) }

// Fault sets a fault.
func (b *Broker) Fault(do any, when map[string]any) error {
	return b.Call("POST", "faults", map[string]any{"do": do, "when": when}, nil)
}
