package main

import (
	"encoding/json"

	restate "github.com/restatedev/sdk-go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// rpc is one method of a generated client, whatever its messages are.
type rpc interface {
	call(order order) (seen, error)
	send(order order) (seen, error)
	attach(ctx restate.Context, invocation string) (seen, error)
}

// rpcs lists the contract's methods by SERVICE/RPC: from inside, the private ones answer too.
func rpcs(ctx restate.Context, key string, codec restate.ClientOption) map[string]rpc {
	deploy := hydrav1.NewDeployServiceClient(ctx, key, codec)
	deployment := hydrav1.NewDeploymentServiceClient(ctx, key, codec)
	routing := hydrav1.NewRoutingServiceClient(ctx, key, codec)
	versioning := hydrav1.NewVersioningServiceClient(ctx, key, codec)
	status := hydrav1.NewGitHubStatusServiceClient(ctx, key, codec)
	openapi := hydrav1.NewOpenapiServiceClient(ctx, codec)
	return map[string]rpc{
		"DeployService/Deploy":                          bind(deploy.Deploy()),
		"DeployService/Rollback":                        bind(deploy.Rollback()),
		"DeployService/Promote":                         bind(deploy.Promote()),
		"DeployService/ScaleDownIdlePreviewDeployments": bind(deploy.ScaleDownIdlePreviewDeployments()),
		"DeploymentService/ScheduleDesiredStateChange":  bind(deployment.ScheduleDesiredStateChange()),
		"DeploymentService/ChangeDesiredState":          bind(deployment.ChangeDesiredState()),
		"DeploymentService/ClearScheduledStateChanges":  bind(deployment.ClearScheduledStateChanges()),
		"RoutingService/AssignFrontlineRoutes":          bind(routing.AssignFrontlineRoutes()),
		"VersioningService/NextVersion":                 bind(versioning.NextVersion()),
		"VersioningService/GetVersion":                  bind(versioning.GetVersion()),
		"GitHubStatusService/Init":                      bind(status.Init()),
		"GitHubStatusService/ReportStatus":              bind(status.ReportStatus()),
		"OpenapiService/ScrapeSpec":                     bind(openapi.ScrapeSpec()),
	}
}

type bound[I, O proto.Message] struct {
	client restate.Client[I, O]
}

func bind[I, O proto.Message](client restate.Client[I, O]) rpc { return bound[I, O]{client} }

func (b bound[I, O]) call(order order) (seen, error) {
	request, err := read[I](order.Request)
	if err != nil {
		return seen{}, err
	}
	return answered(b.client.Request(request, restate.WithIdempotencyKey(order.IdempotencyKey)))
}

func (b bound[I, O]) send(order order) (seen, error) {
	request, err := read[I](order.Request)
	if err != nil {
		return seen{}, err
	}
	sent := b.client.Send(request, restate.WithIdempotencyKey(order.IdempotencyKey), restate.WithDelay(order.delay()))
	return seen{Invocation: sent.GetInvocationId()}, nil
}

func (b bound[I, O]) attach(ctx restate.Context, invocation string) (seen, error) {
	return answered(restate.AttachInvocation[O](ctx, invocation, restate.WithProtoJSON).Response())
}

func read[M proto.Message](request json.RawMessage) (M, error) {
	var none M
	message := none.ProtoReflect().New().Interface().(M)
	if err := protojson.Unmarshal(request, message); err != nil {
		return none, restate.TerminalError(err, 400)
	}
	return message, nil
}

func answered(response proto.Message, err error) (seen, error) {
	if restate.IsTerminalError(err) {
		return seen{Code: uint16(restate.ErrorCode(err)), Message: err.Error()}, nil
	}
	if err != nil {
		return seen{}, err
	}
	written, err := protojson.Marshal(response)
	return seen{Response: written}, err
}
