package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	restate "github.com/restatedev/sdk-go"
)

// plan is what rows would tell of a deployment.
type plan struct {
	AppID     string          `json:"app_id"`
	Regions   []string        `json:"regions"`
	Routes    []string        `json:"routes"`                  // that are to point to it
	Replaces  string          `json:"replaces"`                // the deployment that rests afterwards
	DelayMS   int64           `json:"delay_ms"`                // and how long afterwards
	Hold      bool            `json:"hold"`                    // wait in the middle until told to go on
	Report    json.RawMessage `json:"report,omitempty"`        // a GitHubStatusInitRequest, or nothing to report
	CommentID int64           `json:"pr_comment_id,omitempty"` // of the comment that is written for it
}

// planned reads what is known of a deployment, which may be nothing.
func (w *worker) planned(ctx restate.Context, deploymentID string) (plan, error) {
	return restate.Run(ctx, func(restate.RunContext) (plan, error) {
		text, err := os.ReadFile(filepath.Join(w.plans, deploymentID+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			return plan{}, nil
		}
		if err != nil {
			return plan{}, err
		}
		var read plan
		err = json.Unmarshal(text, &read)
		return read, err
	}, restate.WithName("finding deployment"))
}
