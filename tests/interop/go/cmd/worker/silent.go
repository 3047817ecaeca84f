package main

import (
	restate "github.com/restatedev/sdk-go"

	hydrav1 "hydra-deploy/interop/gen/go-restate/hydra/v1"
)

// routingService serves hydra.v1.RoutingService as it was before SwitchTraffic and RevertTraffic.
func (w *worker) routingService() restate.ServiceDefinition {
	return restate.NewObject("hydra.v1.RoutingService", restate.WithProtoJSON, restate.WithIngressPrivate(true)).
		Handler("AssignFrontlineRoutes", restate.NewObjectHandler(
			noted(w, "hydra.v1.RoutingService/AssignFrontlineRoutes",
				silently[*hydrav1.AssignFrontlineRoutesRequest](&hydrav1.AssignFrontlineRoutesResponse{}))))
}

// openapiService serves hydra.v1.OpenapiService, which has no keys.
func (w *worker) openapiService() restate.ServiceDefinition {
	scrape := func(ctx restate.Context, request *hydrav1.ScrapeSpecRequest) (*hydrav1.ScrapeSpecResponse, error) {
		return &hydrav1.ScrapeSpecResponse{}, w.got(ctx, "hydra.v1.OpenapiService/ScrapeSpec", "", request)
	}
	return restate.NewService("hydra.v1.OpenapiService", restate.WithProtoJSON, restate.WithIngressPrivate(true)).
		Handler("ScrapeSpec", restate.NewServiceHandler(scrape))
}
