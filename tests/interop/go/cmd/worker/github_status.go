package main

import (
	restate "github.com/restatedev/sdk-go"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// githubStatusService serves hydra.v1.GitHubStatusService, for other handlers alone. It asks GitHub nothing: what
// GitHub would have answered comes with the request, and with the plan.
func (w *worker) githubStatusService() restate.ServiceDefinition {
	return restate.NewObject("hydra.v1.GitHubStatusService", restate.WithProtoJSON, restate.WithIngressPrivate(true)).
		Handler("Init", restate.NewObjectHandler(noted(w, "hydra.v1.GitHubStatusService/Init", w.initReport))).
		Handler("ReportStatus", restate.NewObjectHandler(noted(w, "hydra.v1.GitHubStatusService/ReportStatus",
			silently[*hydrav1.GitHubStatusReportRequest](&hydrav1.GitHubStatusReportResponse{}))))
}

func (w *worker) initReport(
	ctx restate.ObjectContext, request *hydrav1.GitHubStatusInitRequest,
) (*hydrav1.GitHubStatusInitResponse, error) {
	planned, err := w.planned(ctx, restate.Key(ctx))
	if err != nil {
		return nil, err
	}
	restate.Set(ctx, "config", request)
	if deploymentID := request.GetExistingGithubDeploymentId(); deploymentID > 0 {
		restate.Set(ctx, "github_deployment_id", deploymentID)
	}
	if number := request.GetPrNumber(); number > 0 {
		restate.Set(ctx, "pr_number", int(number))
	}
	if planned.CommentID > 0 {
		restate.Set(ctx, "pr_comment_id", planned.CommentID)
	}
	return &hydrav1.GitHubStatusInitResponse{}, nil
}
