package main

import (
	"encoding/json"
	"fmt"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// webhook is the service: each handler does one thing to an rpc of hydra.v1, and tells what it saw.
type webhook struct{}

func (webhook) ServiceName() string { return "interop.Webhook" }

// order says what to call. Empty is unsaid.
type order struct {
	RPC            string          `json:"rpc"` // SERVICE/RPC
	Key            string          `json:"key"`
	Request        json.RawMessage `json:"request"`
	IdempotencyKey string          `json:"idempotencyKey"`
	DelayMs        int64           `json:"delayMs"`
	Binary         bool            `json:"binary"` // a request in protobuf's own form
}

// seen is what a call tells a Go handler. A code is that of the terminal error which the callee ended with.
type seen struct {
	Response   json.RawMessage `json:"response,omitempty"`
	Invocation string          `json:"invocation,omitempty"`
	Code       uint16          `json:"code,omitempty"`
	Message    string          `json:"message,omitempty"`
}

// Call waits for the answer.
func (webhook) Call(ctx restate.Context, order order) (seen, error) {
	rpc, err := find(ctx, order)
	if err != nil {
		return seen{}, err
	}
	return rpc.call(order)
}

// Send waits for nothing; its invocation is known at once.
func (webhook) Send(ctx restate.Context, order order) (seen, error) {
	rpc, err := find(ctx, order)
	if err != nil {
		return seen{}, err
	}
	return rpc.send(order)
}

// SendAndAttach sends, and then waits for the answer of what it has sent.
func (webhook) SendAndAttach(ctx restate.Context, order order) (seen, error) {
	rpc, err := find(ctx, order)
	if err != nil {
		return seen{}, err
	}
	sent, err := rpc.send(order)
	if err != nil {
		return seen{}, err
	}
	found, err := rpc.attach(ctx, sent.Invocation)
	found.Invocation = sent.Invocation
	return found, err
}

func find(ctx restate.Context, order order) (rpc, error) {
	codec := restate.WithProtoJSON
	if order.Binary {
		codec = restate.WithProto
	}
	found, known := rpcs(ctx, order.Key, codec)[order.RPC]
	if !known {
		return nil, restate.TerminalError(fmt.Errorf("%q is no rpc of hydra.v1", order.RPC), 400)
	}
	return found, nil
}

func (o order) delay() time.Duration { return time.Duration(o.DelayMs) * time.Millisecond }
