package main

import (
	"context"
	"time"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/ingress"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// bound is a method of a generated client together with what is ordered of it.
type bound[I, O proto.Message] struct {
	client    *ingress.Client
	order     order
	service   string
	handler   string
	requester ingress.Requester[I, O]
}

func (b bound[I, O]) call(ctx context.Context) (seen, error) {
	request, err := b.request()
	if err != nil {
		return seen{}, err
	}
	return answered(b.requester.Request(ctx, request,
		restate.WithIdempotencyKey(b.order.IdempotencyKey), restate.WithHeaders(b.order.Headers)))
}

func (b bound[I, O]) send(ctx context.Context) (seen, error) {
	request, err := b.request()
	if err != nil {
		return seen{}, err
	}
	sent, err := b.requester.Send(ctx, request,
		restate.WithIdempotencyKey(b.order.IdempotencyKey), restate.WithHeaders(b.order.Headers),
		restate.WithDelay(time.Duration(b.order.DelayMs)*time.Millisecond))
	if err != nil {
		return refused(err), nil
	}
	return seen{Invocation: sent.Id(), Status: sent.Status()}, nil
}

func (b bound[I, O]) attach(ctx context.Context) (seen, error) {
	return answered(b.handle().Attach(ctx))
}

func (b bound[I, O]) output(ctx context.Context) (seen, error) {
	return answered(b.handle().Output(ctx))
}

func (b bound[I, O]) handle() ingress.InvocationHandle[O] {
	if b.order.Invocation != "" {
		return ingress.InvocationById[O](b.client, b.order.Invocation, restate.WithProtoJSON)
	}
	return ingress.ObjectInvocationByIdempotencyKey[O](
		b.client, b.service, b.order.Key, b.handler, b.order.IdempotencyKey, restate.WithProtoJSON)
}

func (b bound[I, O]) request() (I, error) {
	var none I
	message := none.ProtoReflect().New().Interface().(I)
	return message, protojson.Unmarshal(b.order.Request, message)
}
