// Package dunlin starts the MQTT broker dunlin for tests, with faults, a clock to advance, and expectations.
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
	// URL is the address of MQTT, HTTP the one of /test/v1/.
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
	// the pipe closes when this process ends in any way
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(2 * time.Millisecond) {
		var ready struct {
			HTTP      []string
			Listeners []struct {
				URL  string
				Port int
			}
		}
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &ready) != nil {
			continue
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

// Call calls /test/v1/PATH and decodes the answer into answer, unless that is nil.
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
	if answer != nil {
		err = json.NewDecoder(response.Body).Decode(answer)
	}
	return err
}

// Expect waits until the expectation is met. docs/testing.md lists all expectations.
func (b *Broker) Expect(what map[string]any) error { return b.Call("POST", "expect", what, nil) }

// Advance advances the clock: "25h".
func (b *Broker) Advance(by string) error {
	return b.Call("POST", "clock", map[string]any{"advance": by}, nil)
}

// Reset removes everything.
func (b *Broker) Reset() error { return b.Call("POST", "reset", map[string]any{}, nil) }

// Restart ends the broker as by kill -9 and starts it again on the same port.
func (b *Broker) Restart() error { return b.Call("POST", "restart", map[string]any{}, nil) }

// Fault sets a fault.
func (b *Broker) Fault(do any, when map[string]any) error {
	return b.Call("POST", "faults", map[string]any{"do": do, "when": when}, nil)
}
