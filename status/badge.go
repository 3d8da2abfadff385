package status

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// badgeColours are the colour of each class of pill on a badge, dark enough for white text (4.5:1) on any page.
var badgeColours = map[string]string{
	"ready": "#1d6f42", "late": "#8a5a00", "failed": "#b3261e", "running": "#1f5fa8", "waiting": "#555b66", "unknown": "#555b66", "none": "#555b66",
}

// badge draws a label and a state in words. Widths are measured generously: there is no font to ask.
var badge = template.Must(template.New("badge").Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="20" role="img" aria-label="{{.Name}}: {{.Text}}"><title>{{.Name}}: {{.Text}}</title><rect width="{{.Width}}" height="20" rx="4" fill="#333a45"/><path d="M{{.Left}} 0h{{.Straight}}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4h-{{.Straight}}z" fill="{{.Colour}}"/><g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="8" y="14" textLength="{{.NameLength}}">{{.Name}}</text><text x="{{.TextAt}}" y="14" textLength="{{.TextLength}}">{{.Text}}</text></g></svg>
`))

// badgeCharacter is how wide a character of a badge is taken to be.
const badgeCharacter = 7

// getBadge is a dataset's latest day as a picture for READMEs, wikis and dashboards.
func (s *Service) getBadge(c echo.Context) error {
	name, ok := strings.CutSuffix(c.Param("file"), ".svg")
	if !ok {
		return refuse(http.StatusNotFound, codeRouteUnknown, "a badge's address ends in .svg", "ask for /badge/DATASET.svg")
	}
	v, err := s.look(c)
	if err != nil {
		return err
	}
	set := v.byName[elt.DatasetName(name)]
	if set == nil {
		return v.noDataset(name)
	}
	p, text := pill{"unknown", "?", ""}, "unknown"
	if d := set.headline.Latest; d.State != "" && !v.stale {
		p, _ = shortPill(v.pillOf(set, d), d)
		text = strings.ToLower(p.Text) + " " + shortDate(d.Date, v.today())
	}
	left := 16 + badgeCharacter*len([]rune(name))
	width := left + 16 + badgeCharacter*len([]rune(text))
	var buf bytes.Buffer
	if err := badge.Execute(&buf, map[string]any{
		"Name": name, "Text": text, "Colour": badgeColours[p.Class], "Width": width, "Left": left, "Straight": width - left - 4,
		"NameLength": left - 16, "TextLength": width - left - 16, "TextAt": left + 8,
	}); err != nil {
		return fmt.Errorf("draw a badge: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-cache, max-age=0")
	return c.Blob(http.StatusOK, "image/svg+xml", buf.Bytes())
}
