package main

import (
	"context"
	"strings"

	"github.com/restatedev/sdk-go/ingress"
	"google.golang.org/protobuf/proto"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// rpc is one method of a generated client, whatever its messages are.
type rpc interface {
	call(ctx context.Context) (seen, error)
	send(ctx context.Context) (seen, error)
	attach(ctx context.Context) (seen, error)
	output(ctx context.Context) (seen, error)
}

type table map[string]rpc

// rpcs lists the contract's methods by SERVICE/RPC, the private ones among them.
func rpcs(client *ingress.Client, order order) table {
	all := table{}
	deploy := hydrav1.NewDeployServiceIngressClient(client, order.Key)
	add(all, client, order, "DeployService/Deploy", deploy.Deploy())
	add(all, client, order, "DeployService/Rollback", deploy.Rollback())
	add(all, client, order, "DeployService/Promote", deploy.Promote())
	add(all, client, order, "DeployService/ScaleDownIdlePreviewDeployments", deploy.ScaleDownIdlePreviewDeployments())

	deployment := hydrav1.NewDeploymentServiceIngressClient(client, order.Key)
	add(all, client, order, "DeploymentService/ScheduleDesiredStateChange", deployment.ScheduleDesiredStateChange())
	add(all, client, order, "DeploymentService/ChangeDesiredState", deployment.ChangeDesiredState())
	add(all, client, order, "DeploymentService/ClearScheduledStateChanges", deployment.ClearScheduledStateChanges())

	routing := hydrav1.NewRoutingServiceIngressClient(client, order.Key)
	add(all, client, order, "RoutingService/AssignFrontlineRoutes", routing.AssignFrontlineRoutes())

	versioning := hydrav1.NewVersioningServiceIngressClient(client, order.Key)
	add(all, client, order, "VersioningService/NextVersion", versioning.NextVersion())
	add(all, client, order, "VersioningService/GetVersion", versioning.GetVersion())

	status := hydrav1.NewGitHubStatusServiceIngressClient(client, order.Key)
	add(all, client, order, "GitHubStatusService/Init", status.Init())
	add(all, client, order, "GitHubStatusService/ReportStatus", status.ReportStatus())

	openapi := hydrav1.NewOpenapiServiceIngressClient(client)
	add(all, client, order, "OpenapiService/ScrapeSpec", openapi.ScrapeSpec())
	return all
}

func add[I, O proto.Message](
	to table, client *ingress.Client, order order, name string, requester ingress.Requester[I, O],
) {
	service, handler, _ := strings.Cut(name, "/")
	to[name] = bound[I, O]{client, order, "hydra.v1." + service, handler, requester}
}
