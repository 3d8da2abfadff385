package ics_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ics"
)

func file(events ...string) string {
	lines := []string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"}
	for i, e := range events {
		lines = append(lines, "BEGIN:VEVENT", "UID:"+string(rune('a'+i))+"@example.com", "DTSTAMP:20260101T000000Z")
		lines = append(lines, strings.Split(e, "\n")...)
		lines = append(lines, "END:VEVENT")
	}
	return strings.Join(append(lines, "END:VCALENDAR", ""), "\r\n")
}

func TestParse(t *testing.T) {
	dates, err := ics.Parse(strings.NewReader(file(
		"DTSTART;VALUE=DATE:20201225\nRRULE:FREQ=YEARLY\nSUMMARY:Christmas Day",
		"DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227\nSUMMARY:Office closed",
		"DTSTART;VALUE=DATE:20260504\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=1MO;COUNT=3\nEXDATE;VALUE=DATE:20270503\nSUMMARY:May Day",
		"DTSTART:20260701T090000Z\nDTEND:20260701T100000Z\nSUMMARY:A meeting",
		"DTSTART;VALUE=DATE:20260801\nSTATUS:CANCELLED\nSUMMARY:Called off",
		"DTSTART;VALUE=DATE:20260901\nRDATE;VALUE=DATE:20260903\nSUMMARY:Moved feast",
	)))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for d, name := range dates {
		if d.Year == 2026 || d.Year == 2027 || d.Year == 2028 {
			got[d.String()] = name
		}
	}
	want := map[string]string{
		"2026-12-25": "Christmas Day", "2027-12-25": "Christmas Day", "2028-12-25": "Christmas Day",
		"2026-12-24": "Office closed", "2026-12-26": "Office closed",
		"2026-05-04": "May Day", "2028-05-01": "May Day",
		"2026-09-01": "Moved feast", "2026-09-03": "Moved feast",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if dates[elt.Date{Year: 2019, Month: 12, Day: 25}] != "" || dates[elt.Date{Year: 2099, Month: 12, Day: 25}] == "" {
		t.Error("the rule does not hold from its beginning on")
	}
}

func TestParseRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"not an iCalendar file": "date,name\n2026-12-25,Christmas\n",
		"lasts all day":         file("DTSTART:20260701T090000Z\nSUMMARY:A meeting"),
		"cannot be read":        file("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=SOMETIMES\nSUMMARY:x"),
		"whole days":            file("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=SECONDLY\nSUMMARY:x"),
		"lasts 3653 days":       file("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20360102\nSUMMARY:x"),
		"more than 4 MB":        strings.Repeat("x", 5<<20),
	} {
		if _, err := ics.Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file("DTSTART;VALUE=DATE:20201225\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\nSUMMARY:Never"))
	f.Add(file("DTSTART;VALUE=DATE:20201225\nDTEND;VALUE=DATE:20201227\nRRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20301225\nSUMMARY:x"))
	f.Fuzz(func(t *testing.T, text string) {
		dates, err := ics.Parse(strings.NewReader(text))
		if (err == nil) != (len(dates) > 0) {
			t.Errorf("%d dates, %v", len(dates), err)
		}
	})
}
