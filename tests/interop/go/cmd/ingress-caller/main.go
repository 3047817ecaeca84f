// Command ingress-caller calls hydra.v1 through Restate's ingress, as the control API and the cron do: with the clients
// that protoc-gen-go-restate makes, over the ingress client of Restate's Go SDK.
//
//	ingress-caller -url http://127.0.0.1:8080 < orders
//
// It reads orders, one JSON object after another, and for each writes a line of JSON with what Go saw. An error answer
// is one of the things to see, and no failure of the program. It takes many orders because a start costs half a second:
// the SDK compiles a WebAssembly module.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/restatedev/sdk-go/ingress"
)

// order says what to do to which rpc. Empty is unsaid.
type order struct {
	Verb           string            `json:"verb"` // call, send, attach or output
	RPC            string            `json:"rpc"`  // SERVICE/RPC
	Key            string            `json:"key"`
	Request        json.RawMessage   `json:"request"`
	IdempotencyKey string            `json:"idempotencyKey"`
	Invocation     string            `json:"invocation"` // to attach to; else it is found by its keys
	DelayMs        int64             `json:"delayMs"`
	Headers        map[string]string `json:"headers"` // Restate keeps them, so none may be a secret
}

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "Restate's ingress")
	timeout := flag.Duration("timeout", time.Minute, "how long to wait for an answer")
	flag.Parse()
	if err := serve(ingress.NewClient(*url), *timeout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func serve(client *ingress.Client, timeout time.Duration) error {
	orders, report := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var next order
		if err := orders.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		found, err := within(timeout, client, next)
		if err != nil {
			return err
		}
		if err := report.Encode(found); err != nil {
			return err
		}
	}
}

func within(timeout time.Duration, client *ingress.Client, order order) (seen, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	rpc, known := rpcs(client, order)[order.RPC]
	if !known {
		return seen{}, fmt.Errorf("%q is no rpc of hydra.v1", order.RPC)
	}
	switch order.Verb {
	case "call":
		return rpc.call(ctx)
	case "send":
		return rpc.send(ctx)
	case "attach":
		return rpc.attach(ctx)
	case "output":
		return rpc.output(ctx)
	}
	return seen{}, fmt.Errorf("%q is none of call, send, attach and output", order.Verb)
}
