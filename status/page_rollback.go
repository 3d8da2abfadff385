package status

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// confirmData is a page that says what would happen, before anything does.
type confirmData struct {
	Dataset, DatasetHref string
	Crumb                link
	Sentence, Detail     string
	Facts                []fact
	Choices              []choiceRow // what else could be chosen
	Form                 *confirmForm
}

type choiceRow struct {
	Version link
	Pill    pill
	Date    string
	At      stamp
	Rows    string
}

// confirmForm asks why, and carries what was looked at.
type confirmForm struct {
	Action, Label, Next string
	Hidden              []link // fields with their values
	Back                string
}

// rollbackPage shows what going back would do, and what else there is to go back to.
func (s *Service) rollbackPage(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	plan, err := s.plan(c, c.QueryParam("version"))
	if err != nil {
		return err
	}
	today := v.today()
	back := datasetHref(set.Name)
	data := confirmData{Dataset: string(set.Name), DatasetHref: back, Crumb: link{Text: "Roll back"}}
	for _, version := range plan.Versions[:min(len(plan.Versions), 30)] {
		row := choiceRow{
			Version: link{string(version.ID), back + "/rollback?version=" + url.QueryEscape(string(version.ID))}, Date: shortDate(version.Date, today),
			At: stampOf(version.PublishedAt, set.zone, today), Rows: grouped(version.Rows), Pill: pill{"none", "–", "Before"},
		}
		switch {
		case version.ID == plan.Current.ID:
			row.Pill, row.Version.Href = pill{"ready", "✓", "Read now"}, ""
		case version.ID == plan.Target.ID:
			row.Pill = pill{"running", "▸", "Would be read"}
		case version.RolledBack != "":
			row.Pill = pill{"none", "–", "Rolled back"}
		}
		data.Choices = append(data.Choices, row)
	}
	if !plan.Needed {
		data.Sentence = string(plan.Target.ID) + " is what people read already."
		data.Detail = "Choose another version below."
		return s.page(c, http.StatusOK, "confirm", "Roll back "+string(set.Name), data)
	}
	data.Sentence = "Roll " + string(set.Name) + " back to the data of " + shortDate(plan.Target.Date, today) + "?"
	data.Detail = "Nothing has happened yet. It is one swap: whoever reads it now reads the earlier rows a moment later."
	at, before := stampOf(plan.Current.PublishedAt, set.zone, today), stampOf(plan.Target.PublishedAt, set.zone, today)
	data.Facts = []fact{
		{Term: "People read", Text: shortDate(plan.Current.Date, today), Small: grouped(plan.Current.Rows) + " rows, published " + at.Text},
		{Term: "They would read", Text: shortDate(plan.Target.Date, today), Small: grouped(plan.Target.Rows) + " rows, published " + before.Text},
		{Term: "Days that would be gone", Text: listedDates(plan.Lost, today), Small: goneText(len(plan.Lost))},
		{Term: "Made from it", Text: orNothing(listed(plan.Feeds, 4)), Small: feedsText(len(plan.Feeds))},
	}
	data.Form = &confirmForm{
		Action: back + "/rollback", Label: "Roll back", Next: back, Back: back,
		Hidden: []link{{"plan_token", plan.PlanToken}, {"version", string(plan.Target.ID)}},
	}
	return s.page(c, http.StatusOK, "confirm", "Roll back "+string(set.Name), data)
}

// withdrawPage shows what marking a day as bad would do, or taking that back.
func (s *Service) withdrawPage(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	date, err := dateText("date", c.Param("date"))
	if err != nil {
		return err
	}
	d, _, err := s.dayView(c.Request().Context(), v, set, date)
	if err != nil {
		return err
	}
	today, day := v.today(), dayHref(set.Name, date)
	data := confirmData{Dataset: string(set.Name), DatasetHref: datasetHref(set.Name), Crumb: link{shortDate(date, today), day}}
	p := v.pillOf(set, d)
	data.Facts = []fact{
		{Term: "It is now", Pill: &p, Small: d.Withdrawn},
		{Term: "Made from it", Text: orNothing(listed(set.feeds, 4)), Small: feedsText(len(set.feeds))},
	}
	path := "/datasets/" + string(set.Name) + "/days/" + date.String()
	if d.Withdrawn != "" {
		data.Sentence = "Take back the withdrawal of " + string(set.Name) + " of " + shortDate(date, today) + "?"
		data.Detail = "Its gates open again when the day is ready, and the dataset counts it as complete."
		data.Form = &confirmForm{Action: path + "/reinstate", Label: "Take it back", Next: day, Back: day}
	} else {
		data.Sentence = "Withdraw " + string(set.Name) + " of " + shortDate(date, today) + "?"
		data.Detail = "Its gates answer impossible, with the reason, until a person takes that back, also when the day is brought again. The tables stay as they are: a rollback shows earlier rows."
		data.Form = &confirmForm{Action: path + "/withdraw", Label: "Withdraw the day", Next: day, Back: day}
	}
	if n := len(s.waitersOf(v, set)); n > 0 {
		data.Facts = append(data.Facts, fact{Term: "Waiting for the dataset now", Text: counted(n, "job")})
	}
	return s.page(c, http.StatusOK, "confirm", data.Sentence, data)
}

func listedDates(dates []elt.Date, today elt.Date) string {
	names := make([]elt.DatasetName, len(dates))
	for i, d := range dates {
		names[i] = elt.DatasetName(shortDate(d, today))
	}
	return orNothing(listed(names, 4))
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func goneText(n int) string {
	if n == 0 {
		return ""
	}
	return "withdrawn until they are brought again"
}

func feedsText(n int) string {
	if n == 0 {
		return ""
	}
	return "what reads it directly will be shown as outdated"
}
