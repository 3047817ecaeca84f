package main

import (
	"time"

	restate "github.com/restatedev/sdk-go"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// transition is the state of the same name: the one change of a deployment that is pending.
type transition struct {
	Nonce string
	To    hydrav1.DeploymentDesiredState
}

// deploymentService serves hydra.v1.DeploymentService, for other handlers alone.
func (w *worker) deploymentService() restate.ServiceDefinition {
	return restate.NewObject("hydra.v1.DeploymentService", restate.WithProtoJSON, restate.WithIngressPrivate(true)).
		Handler("ScheduleDesiredStateChange", restate.NewObjectHandler(
			noted(w, "hydra.v1.DeploymentService/ScheduleDesiredStateChange", schedule))).
		Handler("ChangeDesiredState", restate.NewObjectHandler(
			noted(w, "hydra.v1.DeploymentService/ChangeDesiredState", w.change))).
		Handler("ClearScheduledStateChanges", restate.NewObjectHandler(
			noted(w, "hydra.v1.DeploymentService/ClearScheduledStateChanges", forget)))
}

func schedule(
	ctx restate.ObjectContext, request *hydrav1.ScheduleDesiredStateChangeRequest,
) (*hydrav1.ScheduleDesiredStateChangeResponse, error) {
	pending := transition{Nonce: restate.UUID(ctx).String(), To: request.GetState()}
	restate.Set(ctx, "transition", pending)
	delay := time.Duration(request.GetDelayMillis()) * time.Millisecond
	hydrav1.NewDeploymentServiceClient(ctx, restate.Key(ctx)).ChangeDesiredState().Send(
		&hydrav1.ChangeDesiredStateRequest{Nonce: pending.Nonce, State: pending.To}, restate.WithDelay(delay))
	return &hydrav1.ScheduleDesiredStateChangeResponse{}, nil
}

// change takes the numbers that a change would stamp rows with.
func (w *worker) change(
	ctx restate.ObjectContext, request *hydrav1.ChangeDesiredStateRequest,
) (*hydrav1.ChangeDesiredStateResponse, error) {
	pending, err := restate.Get[*transition](ctx, "transition")
	if err != nil || pending == nil || pending.Nonce != request.GetNonce() {
		return &hydrav1.ChangeDesiredStateResponse{}, err
	}
	deploymentID := restate.Key(ctx)
	planned, err := w.planned(ctx, deploymentID)
	if err != nil {
		return nil, err
	}
	if err := w.takeVersions(ctx, deploymentID, planned); err != nil {
		return nil, err
	}
	restate.Clear(ctx, "transition")
	return &hydrav1.ChangeDesiredStateResponse{}, nil
}

func forget(
	ctx restate.ObjectContext, _ *hydrav1.ClearScheduledStateChangesRequest,
) (*hydrav1.ClearScheduledStateChangesResponse, error) {
	restate.Clear(ctx, "transition")
	return &hydrav1.ClearScheduledStateChangesResponse{}, nil
}
