package main

import (
	restate "github.com/restatedev/sdk-go"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// versioningService serves hydra.v1.VersioningService, for other handlers alone: a counter for each region.
func (w *worker) versioningService() restate.ServiceDefinition {
	return restate.NewObject("hydra.v1.VersioningService", restate.WithProtoJSON, restate.WithIngressPrivate(true)).
		Handler("NextVersion", restate.NewObjectHandler(
			noted(w, "hydra.v1.VersioningService/NextVersion", nextVersion))).
		Handler("GetVersion", restate.NewObjectHandler(
			noted(w, "hydra.v1.VersioningService/GetVersion", getVersion)))
}

func nextVersion(ctx restate.ObjectContext, _ *hydrav1.NextVersionRequest) (*hydrav1.NextVersionResponse, error) {
	latest, err := restate.Get[uint64](ctx, "version")
	if err != nil {
		return nil, err
	}
	restate.Set(ctx, "version", latest+1)
	return &hydrav1.NextVersionResponse{Version: latest + 1}, nil
}

func getVersion(ctx restate.ObjectContext, _ *hydrav1.GetVersionRequest) (*hydrav1.GetVersionResponse, error) {
	latest, err := restate.Get[uint64](ctx, "version")
	return &hydrav1.GetVersionResponse{Version: latest}, err
}
