package main

import (
	"time"

	restate "github.com/restatedev/sdk-go"
	"google.golang.org/protobuf/encoding/protojson"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// deployService serves hydra.v1.DeployService. Its handlers are exclusive: what has one key waits in line.
func (w *worker) deployService() restate.ServiceDefinition {
	return restate.NewObject("hydra.v1.DeployService", restate.WithProtoJSON).
		Handler("Deploy", restate.NewObjectHandler(noted(w, "hydra.v1.DeployService/Deploy", w.deploy))).
		Handler("Rollback", restate.NewObjectHandler(noted(w, "hydra.v1.DeployService/Rollback",
			silently[*hydrav1.RollbackRequest](&hydrav1.RollbackResponse{})))).
		Handler("Promote", restate.NewObjectHandler(noted(w, "hydra.v1.DeployService/Promote",
			silently[*hydrav1.PromoteRequest](&hydrav1.PromoteResponse{})))).
		Handler("ScaleDownIdlePreviewDeployments", restate.NewObjectHandler(
			noted(w, "hydra.v1.DeployService/ScaleDownIdlePreviewDeployments",
				silently[*hydrav1.ScaleDownIdlePreviewDeploymentsRequest](
					&hydrav1.ScaleDownIdlePreviewDeploymentsResponse{}))))
}

// silently answers, and does nothing.
func silently[I, O any](answer O) restate.ObjectHandlerFn[I, O] {
	return func(restate.ObjectContext, I) (O, error) { return answer, nil }
}

// deploy asks the other services for what a deploy asks of them, in its order.
func (w *worker) deploy(ctx restate.ObjectContext, request *hydrav1.DeployRequest) (*hydrav1.DeployResponse, error) {
	deploymentID := request.GetDeploymentId()
	planned, err := w.planned(ctx, deploymentID)
	if err != nil {
		return nil, err
	}
	steps := []func(restate.Context, string, plan) error{
		w.beginReport, w.takeVersions, w.hold, w.takeVersions, w.assignRoutes, w.endReport, w.scheduleStandby,
	}
	for _, step := range steps {
		if err := step(ctx, deploymentID, planned); err != nil {
			return nil, err
		}
	}
	return &hydrav1.DeployResponse{}, nil
}

func (w *worker) beginReport(ctx restate.Context, deploymentID string, planned plan) error {
	if planned.Report == nil {
		return nil
	}
	request := &hydrav1.GitHubStatusInitRequest{}
	if err := protojson.Unmarshal(planned.Report, request); err != nil {
		return restate.TerminalError(err)
	}
	_, err := ask(ctx, w, note{Handler: "hydra.v1.GitHubStatusService/Init", Key: deploymentID},
		hydrav1.NewGitHubStatusServiceClient(ctx, deploymentID).Init(), request)
	return err
}

func (w *worker) takeVersions(ctx restate.Context, _ string, planned plan) error {
	for _, regionID := range planned.Regions {
		_, err := ask(ctx, w, note{Handler: "hydra.v1.VersioningService/NextVersion", Key: regionID},
			hydrav1.NewVersioningServiceClient(ctx, regionID).NextVersion(), &hydrav1.NextVersionRequest{})
		if err != nil {
			return err
		}
	}
	return nil
}

// hold stands for what takes long: a build, or waiting for instances.
func (w *worker) hold(ctx restate.Context, deploymentID string, planned plan) error {
	if !planned.Hold {
		return nil
	}
	told := restate.Awakeable[restate.Void](ctx)
	waiting := note{Event: "waits", Handler: "hydra.v1.DeployService/Deploy", Key: deploymentID}
	waiting.Message = []byte(`{"awakeable": "` + told.Id() + `"}`)
	if err := w.notes.write(ctx, waiting); err != nil {
		return err
	}
	if _, err := told.Result(); err != nil {
		return err
	}
	return restate.Sleep(ctx, 10*time.Millisecond, restate.WithName("looking again"))
}

func (w *worker) assignRoutes(ctx restate.Context, deploymentID string, planned plan) error {
	if planned.AppID == "" {
		return nil
	}
	request := &hydrav1.AssignFrontlineRoutesRequest{DeploymentId: deploymentID, FrontlineRouteIds: planned.Routes}
	_, err := ask(ctx, w, note{Handler: "hydra.v1.RoutingService/AssignFrontlineRoutes", Key: planned.AppID},
		hydrav1.NewRoutingServiceClient(ctx, planned.AppID).AssignFrontlineRoutes(), request)
	return err
}

func (w *worker) endReport(ctx restate.Context, deploymentID string, planned plan) error {
	if planned.Report == nil {
		return nil
	}
	request := &hydrav1.GitHubStatusReportRequest{
		State:       hydrav1.GitHubDeploymentState_GITHUB_DEPLOYMENT_STATE_SUCCESS,
		Description: "Deployed",
	}
	_, err := ask(ctx, w, note{Handler: "hydra.v1.GitHubStatusService/ReportStatus", Key: deploymentID},
		hydrav1.NewGitHubStatusServiceClient(ctx, deploymentID).ReportStatus(), request)
	return err
}

func (w *worker) scheduleStandby(ctx restate.Context, _ string, planned plan) error {
	if planned.Replaces == "" {
		return nil
	}
	request := &hydrav1.ScheduleDesiredStateChangeRequest{
		DelayMillis: planned.DelayMS,
		State:       hydrav1.DeploymentDesiredState_DEPLOYMENT_DESIRED_STATE_STANDBY,
	}
	_, err := ask(ctx, w, note{Handler: "hydra.v1.DeploymentService/ScheduleDesiredStateChange", Key: planned.Replaces},
		hydrav1.NewDeploymentServiceClient(ctx, planned.Replaces).ScheduleDesiredStateChange(), request,
		restate.WithIdempotencyKey(planned.Replaces))
	return err
}
