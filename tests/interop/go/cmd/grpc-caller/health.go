package main

import (
	"context"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func check(ctx context.Context, conn grpc.ClientConnInterface, service string) seen {
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return health(answer, err)
}

// watch tells every health of a service, until it is not SERVING or the stream ends.
func watch(ctx context.Context, conn grpc.ClientConnInterface, service string, tell func(seen) error) error {
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return tell(outcome(err))
	}
	for {
		answer, err := stream.Recv()
		if toldErr := tell(health(answer, err)); toldErr != nil {
			return toldErr
		}
		if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			return nil
		}
	}
}

func health(answer *healthpb.HealthCheckResponse, err error) seen {
	found := outcome(err)
	if err == nil {
		found.Health = answer.GetStatus().String()
	}
	return found
}
