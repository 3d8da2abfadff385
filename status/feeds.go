package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/feeds"
	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostNews is how many entries a feed has.
const mostNews = 50

// getAtom is the news as an Atom feed.
func (s *Service) getAtom(c echo.Context) error {
	news, err := s.news(c)
	if err != nil {
		return err
	}
	atom := (&feeds.Atom{Feed: news}).AtomFeed()
	atom.Id, atom.Link.Rel = news.Id, "alternate"
	text, err := feeds.ToXML(atom)
	if err != nil {
		return fmt.Errorf("write the Atom feed: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "application/atom+xml; charset=utf-8", []byte(text))
}

// getJSONFeed is the news as a JSON feed, version 1.1.
func (s *Service) getJSONFeed(c echo.Context) error {
	news, err := s.news(c)
	if err != nil {
		return err
	}
	feed := (&feeds.JSON{Feed: news}).JSONFeed()
	feed.FeedUrl = strings.Replace(news.Id, "/feed.atom", "/feed.json", 1)
	text, err := json.MarshalIndent(struct {
		*feeds.JSONFeed
		Items []*feeds.JSONItem `json:"items"` // required, also when there are none
	}{feed, append([]*feeds.JSONItem{}, feed.Items...)}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the JSON feed: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "application/feed+json; charset=utf-8", text)
}

// news are the incidents, what was said of them, and when the data resolved them; of one dataset alone with ?dataset=.
func (s *Service) news(c echo.Context) (*feeds.Feed, error) {
	v, err := s.look(c)
	if err != nil {
		return nil, err
	}
	only := elt.DatasetName(c.QueryParam("dataset"))
	if c.QueryParams().Has("dataset") && v.byName[only] == nil {
		return nil, v.noDataset(string(only))
	}
	incidents, err := s.opts.Ledger.Incidents(c.Request().Context(), false, mostNews)
	if err != nil {
		return nil, ledgerAway(err)
	}
	base := s.baseURL(c)
	feed := &feeds.Feed{
		Title: s.opts.Title + ": incidents", Link: &feeds.Link{Href: base + "/incidents"}, Id: base + "/feed.atom", Updated: v.asOf.UTC(),
		Description: "What touches a deadline, and when it is over.", Author: &feeds.Author{Name: s.opts.Title},
	}
	if only != "" {
		feed.Title, feed.Link.Href, feed.Id = s.opts.Title+": "+string(only), base+datasetHref(only), feed.Id+"?dataset="+string(only)
	}
	for _, in := range incidents {
		if only != "" && in.Cause != only && !slices.Contains(in.Affected, only) {
			continue
		}
		items, err := s.newsOf(c, in, base)
		if err != nil {
			return nil, err
		}
		feed.Items = append(feed.Items, items...)
	}
	slices.SortStableFunc(feed.Items, func(a, b *feeds.Item) int { return b.Created.Compare(a.Created) })
	feed.Items = feed.Items[:min(len(feed.Items), mostNews)]
	if len(feed.Items) > 0 {
		feed.Updated = feed.Items[0].Created // so that a reader that asks again finds nothing new
	}
	return feed, nil
}

// newsOf are the entries about one incident.
func (s *Service) newsOf(c echo.Context, in elt.Incident, base string) ([]*feeds.Item, error) {
	item := func(what string, at time.Time, title, text string) *feeds.Item {
		return &feeds.Item{
			Id: fmt.Sprintf("%s/incidents#%s-%s", base, in.ID, what), Title: title, Description: text, Created: at.UTC(), Updated: at.UTC(),
			Link: &feeds.Link{Href: base + dayHref(in.Cause, in.Date)},
		}
	}
	held := ""
	if n := len(in.Affected) - 1; n > 0 {
		held = fmt.Sprintf(" It holds up %s.", counted(n, "other dataset"))
	}
	items := []*feeds.Item{item("opened", in.OpenedAt, sentence(in.Title), fmt.Sprintf("%s of %s.%s", in.Cause, in.Date, held))}
	if !in.ResolvedAt.IsZero() {
		items = append(items, item("resolved", in.ResolvedAt, "Resolved: "+in.Title+".", fmt.Sprintf("Every day that it held up is ready, %s after it began.", span(in.ResolvedAt.Sub(in.OpenedAt)))))
	}
	if s.opts.Acts == nil {
		return items, nil
	}
	remarks, err := s.opts.Acts.Remarks(c.Request().Context(), in.ID, "", mostNews)
	if err != nil {
		return nil, ledgerAway(err)
	}
	for _, r := range remarks {
		items = append(items, item(string(r.ID), r.At, "Update: "+in.Title+".", cmp.Or(r.Actor, "Somebody")+": "+r.Text))
	}
	return items, nil
}
