package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/impersonate"
	"google.golang.org/api/option"
)

// clientOptions reaches an emulator at its endpoint without credentials, and Google with the machine's own or, through
// them, with those of a service account.
func (o Options) clientOptions(ctx context.Context) ([]option.ClientOption, error) {
	switch {
	case o.Endpoint != "":
		endpoint, err := o.endpointOf("/bigquery/v2/")
		if err != nil {
			return nil, err
		}
		return []option.ClientOption{option.WithEndpoint(endpoint), option.WithHTTPClient(new(http.Client))}, nil
	case o.Impersonate != "":
		as, err := impersonated(ctx, o.Impersonate)
		if err != nil {
			return nil, noCredentials(o.Project, err)
		}
		return []option.ClientOption{as}, nil
	}
	return nil, nil
}

// endpointOf returns the URL of one of the emulator's services.
func (o Options) endpointOf(path string) (string, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" {
		return "", setting(fmt.Sprintf("the endpoint %q is no URL", o.Endpoint), "write it as http://127.0.0.1:9050")
	}
	if path != "/bigquery/v2/" || strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	return u.String(), nil
}

// impersonated uses the rights of a service account, for which the caller's own credentials ask in IAM. The options are
// of the client that asks.
func impersonated(ctx context.Context, account string, ask ...option.ClientOption) (option.ClientOption, error) {
	tokens, err := impersonate.CredentialsTokenSource(ctx, impersonate.CredentialsConfig{
		TargetPrincipal: account, Scopes: []string{bigquery.Scope, "https://www.googleapis.com/auth/devstorage.read_write"},
	}, ask...)
	if err != nil {
		return nil, err
	}
	return option.WithTokenSource(tokens), nil
}

func noCredentials(project string, err error) error {
	return setting(fmt.Sprintf("cannot reach BigQuery for project %s: %v", project, err),
		"give this machine application-default credentials: a service account's key in GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login")
}
