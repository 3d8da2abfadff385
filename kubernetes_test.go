package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/status/api"
)

// manifest is what the tests look at of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string // of a ConfigMap
	Secrets  map[string]string `json:"stringData"`
	Spec     struct {
		Replicas int
		Selector json.RawMessage // of a Service it has no matchLabels
		Ports    []struct{ TargetPort string }
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	Grace    int    `json:"terminationGracePeriodSeconds"`
	Account  string `json:"serviceAccountName"`
	Security struct {
		RunAsNonRoot   bool
		RunAsUser      int
		SeccompProfile struct{ Type string }
	} `json:"securityContext"`
	Containers []container
	Volumes    []volume
}

type volume struct {
	Name      string
	ConfigMap *struct {
		Name  string
		Items []struct{ Key, Path string }
	}
}

type container struct {
	Image    string
	Args     []string
	EnvFrom  []struct{ SecretRef struct{ Name string } }
	Security struct {
		ReadOnlyRootFilesystem   bool
		AllowPrivilegeEscalation *bool
		Capabilities             struct{ Drop []string }
	} `json:"securityContext"`
	Mounts []struct {
		Name, MountPath string
		ReadOnly        bool
	} `json:"volumeMounts"`
	Ports []struct {
		Name          string
		ContainerPort int
	}
	Startup   probe `json:"startupProbe"`
	Liveness  probe `json:"livenessProbe"`
	Readiness probe `json:"readinessProbe"`
}

type probe struct{ HTTPGet struct{ Path, Port string } }

// manifests are those of docs/kubernetes, by kind and name.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	files, err := filepath.Glob("docs/kubernetes/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for i := range files {
		if files[i], err = filepath.Abs(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	var list []manifest
	if err := json.Unmarshal(testenv.Manifests(t, files...), &list); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]manifest)
	for _, m := range list {
		all[m.Kind+"/"+m.Metadata.Name] = m
	}
	if len(all) != len(list) {
		t.Errorf("of %d manifests two have the same name", len(list))
	}
	return all
}

// deployments are the parts of docs/kubernetes.
var deployments = []string{"serve", "status", "worker"}

// Each manifest is one that an API server takes, and what one says of another is so: selectors, ports, volumes, secrets. No
// container may do more than it must.
func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range deployments {
		d, there := all["Deployment/daybreak-"+name]
		if !there || len(d.Spec.Template.Spec.Containers) != 1 {
			t.Fatalf("%s: %+v", name, d)
		}
		spec := d.Spec.Template.Spec
		c := spec.Containers[0]
		wants := map[string]bool{
			"more than one":                      d.Spec.Replicas > 1,
			"the image's user":                   strings.Contains(string(dockerfile), fmt.Sprintf("USER %d:", spec.Security.RunAsUser)),
			"not root":                           spec.Security.RunAsNonRoot && spec.Security.SeccompProfile.Type == "RuntimeDefault",
			"a root file system to read only":    c.Security.ReadOnlyRootFilesystem,
			"no more rights":                     c.Security.AllowPrivilegeEscalation != nil && !*c.Security.AllowPrivilegeEscalation && slices.Equal(c.Security.Capabilities.Drop, []string{"ALL"}),
			"a service account":                  all["ServiceAccount/"+spec.Account].Kind != "",
			"a secret":                           len(c.EnvFrom) == 1 && all["Secret/"+c.EnvFrom[0].SecretRef.Name].Kind != "",
			"a budget for disruptions":           all["PodDisruptionBudget/daybreak-"+name].Kind != "",
			"the image of the others":            c.Image == all["Deployment/daybreak-serve"].Spec.Template.Spec.Containers[0].Image,
			"a longer time to end than --grace":  time.Duration(spec.Grace)*time.Second > graceOf(t, c.Args),
			"the workspace where the image's is": strings.Contains(string(dockerfile), "WORKDIR "+c.Mounts[0].MountPath) && c.Mounts[0].ReadOnly,
		}
		for _, kind := range []string{"Deployment/", "PodDisruptionBudget/", "Service/"} {
			m, there := all[kind+"daybreak-"+name]
			if !there {
				continue
			}
			selector := struct{ MatchLabels map[string]string }{}
			if err := json.Unmarshal(m.Spec.Selector, &selector); err != nil {
				t.Fatal(err)
			}
			if kind == "Service/" {
				if err := json.Unmarshal(m.Spec.Selector, &selector.MatchLabels); err != nil {
					t.Fatal(err)
				}
				wants["a port that its service names"] = len(c.Ports) == 1 && m.Spec.Ports[0].TargetPort == c.Ports[0].Name
			}
			wants[kind+" selects its pods"] = maps.Equal(selector.MatchLabels, d.Spec.Template.Metadata.Labels)
		}
		for _, p := range []probe{c.Startup, c.Liveness, c.Readiness} {
			if len(c.Ports) > 0 {
				wants["probes at its port"] = p.HTTPGet.Port == c.Ports[0].Name && p.HTTPGet.Path != ""
			}
		}
		for _, m := range c.Mounts {
			wants["a volume for "+m.MountPath] = slices.ContainsFunc(spec.Volumes, func(v volume) bool { return v.Name == m.Name })
		}
		for want, has := range wants {
			if !has {
				t.Errorf("%s has not %s", name, want)
			}
		}
	}
}

// graceOf returns what --grace says; status-server has none, and ends at once.
func graceOf(t *testing.T, args []string) time.Duration {
	t.Helper()
	i := slices.Index(args, "--grace")
	if i < 0 {
		return 0
	}
	grace, err := time.ParseDuration(args[i+1])
	if err != nil {
		t.Fatal(err)
	}
	return grace
}

// The manifests' workspace, commands, variables, port and probes are those of the program: a night is brought by them, over
// servers of the test's own, from a workspace that nobody writes to.
func TestKubernetesNight(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	pg, s3, bigquery := testenv.Postgres(t), testenv.S3(t), bigquerytest.New(t)
	conn, err := pgx.Connect(t.Context(), pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, text := range []string{"CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders SELECT generate_series(1, 1000)"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]string{"LEDGER_URL": pg.Database(t), "SHOP_URL": pg.URL, "S3_ACCESS_KEY": s3.AccessKey, "S3_SECRET_KEY": s3.SecretKey}
	var env []string
	for _, key := range slices.Sorted(maps.Keys(all["Secret/daybreak"].Secrets)) {
		if values[key] == "" {
			t.Fatalf("the secret has %s, of which this test knows nothing", key)
		}
		env = append(env, key+"="+values[key])
	}
	dir, files := t.TempDir(), make(map[string]string)
	for _, v := range all["Deployment/daybreak-worker"].Spec.Template.Spec.Volumes {
		if v.ConfigMap != nil {
			for _, item := range v.ConfigMap.Items {
				files[item.Path] = all["ConfigMap/"+v.ConfigMap.Name].Data[item.Key]
			}
		}
	}
	write(t, dir, files)
	must(t, dir, env, "check", "--offline")
	// What leads to the clouds leads to their doubles; a real night is private, and this one is asked without a token.
	edit(t, dir, "daybreak.yaml", "location: EU", fmt.Sprintf("location: EU, endpoint: %q", bigquery.URL))
	edit(t, dir, "daybreak.yaml", "bucket: acme-daybreak", fmt.Sprintf("bucket: %s\n    endpoint: %q\n    path_style: true", s3.NewBucket(t), s3.Endpoint))
	edit(t, dir, "daybreak.yaml", "region: eu-west-1", "region: us-east-1")
	edit(t, dir, "daybreak.yaml", "status: {", "status: {public: true, ")
	before := filesOf(t, dir)

	args := func(name string) []string {
		return all["Deployment/daybreak-"+name].Spec.Template.Spec.Containers[0].Args
	}
	decides, stop := start(t, dir, env, args("serve")...)
	defer stop()
	shows, stopShowing := start(t, dir, env, args("status")...)
	defer stopShowing()
	for name, s := range map[string]*server{"serve": decides, "status": shows} {
		c := all["Deployment/daybreak-"+name].Spec.Template.Spec.Containers[0]
		for _, p := range []probe{c.Startup, c.Liveness, c.Readiness} {
			until(t, name+" answers at "+p.HTTPGet.Path, func() bool {
				answer, err := http.Get(s.url + p.HTTPGet.Path)
				if err != nil {
					t.Fatal(err)
				}
				return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
			})
		}
	}
	_, drain := launch(t, program(context.WithoutCancel(t.Context()), t, dir, env, args("worker")...))
	date := elt.DateOf(time.Now().In(dublin(t))).AddDays(-1).String()
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "the first night")
	untilWithin(t, processTime, "the night is there", func() bool {
		for _, run := range get[api.Runs](t, decides, "/v1/runs").Runs {
			if run.State == elt.RunFailed {
				t.Fatalf("it failed: %s", decides.text(t, "/v1/runs/"+string(run.ID)+"/steps"))
			}
		}
		return get[api.OneDataset](t, shows, "/v1/datasets/totals").Headline.LatestReady.String() == date
	})
	drain()
	if diff := cmp.Diff([]string{"1000"}, bigquery.Rows(t, "SELECT orders FROM analytics.totals")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, filesOf(t, dir)); diff != "" {
		t.Errorf("somebody has written to the workspace:\n%s", diff)
	}
}
