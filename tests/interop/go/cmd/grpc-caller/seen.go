package main

import (
	"encoding/json"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// seen is what a call tells a Go caller.
type seen struct {
	Code     string            `json:"code"`
	Message  string            `json:"message,omitempty"`
	Details  *details          `json:"details,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"` // the initial one
	Response json.RawMessage   `json:"response,omitempty"`
	Health   string            `json:"health,omitempty"`
}

// details are those of a google.rpc.Status that hydra.v1 sends.
type details struct {
	Reason     string            `json:"reason"`
	Domain     string            `json:"domain"`
	Facts      map[string]string `json:"facts,omitempty"`
	Fields     []string          `json:"fields,omitempty"`     // of a BadRequest
	Violations []string          `json:"violations,omitempty"` // of a PreconditionFailure, their types
	RetryIn    time.Duration     `json:"retryInNs,omitempty"`
	Unread     []string          `json:"unread,omitempty"`
}

// outcome reads the status of a call, OK or not.
func outcome(err error) seen {
	found := status.Convert(err)
	return seen{Code: found.Code().String(), Message: found.Message(), Details: detailsOf(found)}
}

func detailsOf(from *status.Status) *details {
	if len(from.Details()) == 0 {
		return nil
	}
	var found details
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Reason, found.Domain, found.Facts = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				found.Fields = append(found.Fields, violation.GetField())
			}
		case *errdetails.PreconditionFailure:
			for _, violation := range detail.GetViolations() {
				found.Violations = append(found.Violations, violation.GetType())
			}
		case *errdetails.RetryInfo:
			found.RetryIn = detail.GetRetryDelay().AsDuration()
		case error: // what grpc-go gives in place of a detail that it cannot decode
			found.Unread = append(found.Unread, detail.Error())
		}
	}
	return &found
}
