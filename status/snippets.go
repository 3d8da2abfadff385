package status

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"

	"github.com/labstack/echo/v4"
)

//go:embed snippets/*.tmpl
var snippetFiles embed.FS

// snippet is a text to copy that makes a job wait for a day. The tests run each as the page shows it.
type snippet struct {
	Name, ID string
	Text     string
	About    string
	Open     bool
}

// kindsOfSnippet are the snippets in the order in which pages show them.
func kindsOfSnippet() []snippet {
	return []snippet{
		{Name: "Shell", ID: "shell", Open: true, About: "Exits 0 when it is ready, 1 when waiting cannot help, 2 when the time is up, 3 when nobody knows."},
		{Name: "curl", ID: "curl", About: "Answers as soon as it is ready or impossible, else after the timeout: ask again then."},
		{Name: "Python", ID: "python", About: "Needs nothing but Python's own library."},
		{Name: "Go", ID: "go", About: "With the client of Daybreak's own module."},
		{Name: "Airflow", ID: "airflow", About: "A deferrable sensor: while it waits it takes no worker's slot."},
		{Name: "dbt", ID: "dbt", About: "dbt begins when the data is there, and not at all when waiting cannot help."},
	}
}

// snippets are the texts that wait for the need at this service.
func (s *Service) snippets(c echo.Context, need string) ([]snippet, error) {
	templates, err := template.ParseFS(snippetFiles, "snippets/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the snippets: %w", err)
	}
	out := kindsOfSnippet()
	for i := range out {
		var text bytes.Buffer
		in := struct {
			URL, Need string
			Token     bool
		}{s.baseURL(c), need, !s.opts.Public}
		if err := templates.ExecuteTemplate(&text, out[i].ID+".tmpl", in); err != nil {
			return nil, fmt.Errorf("write the snippet %s: %w", out[i].ID, err)
		}
		out[i].Text = text.String()
	}
	return out, nil
}
