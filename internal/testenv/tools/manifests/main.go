// Command manifests reads Kubernetes manifests as strictly as an API server does: every document must be of a known kind, and
// every key one of that kind's, once. It prints what it has read as a JSON list, defaults left out, for tests to look into.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	document "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// kinds makes an empty object of each kind that may be there.
var kinds = map[string]func() meta.Object{
	"v1 ConfigMap":                  func() meta.Object { return new(core.ConfigMap) },
	"v1 Namespace":                  func() meta.Object { return new(core.Namespace) },
	"v1 Secret":                     func() meta.Object { return new(core.Secret) },
	"v1 Service":                    func() meta.Object { return new(core.Service) },
	"v1 ServiceAccount":             func() meta.Object { return new(core.ServiceAccount) },
	"apps/v1 Deployment":            func() meta.Object { return new(apps.Deployment) },
	"policy/v1 PodDisruptionBudget": func() meta.Object { return new(policy.PodDisruptionBudget) },
}

func main() {
	var all []meta.Object
	var wrong error
	for _, file := range os.Args[1:] {
		objects, err := read(file)
		all, wrong = append(all, objects...), errors.Join(wrong, err)
	}
	if wrong != nil {
		fmt.Fprintln(os.Stderr, wrong)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// read returns the objects of a file's documents.
func read(file string) (objects []meta.Object, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	documents := document.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, object)
	}
}

// decode reads one document into its kind; a key that the kind does not have, or has twice, is an error.
func decode(text []byte) (meta.Object, error) {
	var of meta.TypeMeta
	if err := yaml.Unmarshal(text, &of); err != nil {
		return nil, err
	}
	kind := of.APIVersion + " " + of.Kind
	empty, known := kinds[kind]
	if !known {
		return nil, fmt.Errorf("a document of the unknown kind %q", kind)
	}
	object := empty()
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if wrong := validation.IsDNS1123Subdomain(object.GetName()); wrong != nil {
		return nil, fmt.Errorf("%s has the name %q: %v", kind, object.GetName(), wrong)
	}
	return object, nil
}
