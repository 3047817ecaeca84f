package main

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	hydrav1 "hydra-deploy/interop/gen/go-grpc/hydra/v1"
)

// method is one rpc of the stub, whatever its messages are.
type method func(ctx context.Context, request io.Reader) (seen, error)

func methods(conn grpc.ClientConnInterface) map[string]method {
	stub := hydrav1.NewDeployServiceClient(conn)
	return map[string]method{
		"Deploy":                          bind(stub.Deploy),
		"Rollback":                        bind(stub.Rollback),
		"Promote":                         bind(stub.Promote),
		"ScaleDownIdlePreviewDeployments": bind(stub.ScaleDownIdlePreviewDeployments),
	}
}

func bind[I, O proto.Message](call func(context.Context, I, ...grpc.CallOption) (O, error)) method {
	return func(ctx context.Context, from io.Reader) (seen, error) {
		request, err := read[I](from)
		if err != nil {
			return seen{}, err
		}
		var initial metadata.MD
		response, err := call(ctx, request, grpc.Header(&initial))
		found := outcome(err)
		found.Metadata = first(initial)
		if err != nil {
			return found, nil
		}
		found.Response, err = protojson.Marshal(response)
		return found, err
	}
}

func read[M proto.Message](from io.Reader) (M, error) {
	var none M
	message := none.ProtoReflect().New().Interface().(M)
	body, err := io.ReadAll(from)
	if err == nil {
		err = protojson.Unmarshal(body, message)
	}
	return message, err
}

// first keeps one value of each name: the server sends no more.
func first(of metadata.MD) map[string]string {
	kept := map[string]string{}
	for name, values := range of {
		kept[name] = values[0]
	}
	return kept
}
