package status

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/status/statustest"
)

// The documentation shows the texts that pages show.
func TestSnippetsOfTheDocumentation(t *testing.T) {
	s := serve(t, statustest.Busy(), func(o *Options) {
		o.BaseURL, o.Public, o.Token = "https://daybreak.internal", false, testToken
	})
	doc, err := os.ReadFile("../docs/status-api.md")
	if err != nil {
		t.Fatal(err)
	}
	c := echo.New().NewContext(httptest.NewRequest("GET", "/datasets/revenue", nil), httptest.NewRecorder())
	snippets, err := s.snippets(c, "revenue@2026-11-20")
	if err != nil {
		t.Fatal(err)
	}
	for _, snippet := range snippets {
		if !strings.Contains(string(doc), snippet.Name+":\n\n```") || !strings.Contains(string(doc), "\n"+snippet.Text+"```\n") {
			t.Errorf("docs/status-api.md does not show, under %q:\n%s", snippet.Name, snippet.Text)
		}
	}
}
