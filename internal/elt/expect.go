package elt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// TrailingVersions is how many published versions a night's row count is compared with, and LeastTrailing how many of
// them there must be before anything is concluded.
const (
	TrailingVersions = 7
	LeastTrailing    = 3
)

// ExpectedRows is what a table's row count may be. The zero value expects nothing.
type ExpectedRows struct {
	// Within is how far, in percent, it may be from the median of the last TrailingVersions published ones.
	Within float64
	Least  int64
	Most   int64 // 0 for no limit
}

// Any reports whether anything is expected.
func (e ExpectedRows) Any() bool { return e != ExpectedRows{} }

var (
	expectWithin  = regexp.MustCompile(`^within ([0-9]+(?:\.[0-9]+)?) ?%$`)
	expectAtLeast = regexp.MustCompile(`^at least ([0-9][0-9_,]*)$`)
	expectBetween = regexp.MustCompile(`^between ([0-9][0-9_,]*) and ([0-9][0-9_,]*)$`)
)

// ParseExpectedRows reads "within 50%", "at least 1000" or "between 1000 and 2000".
func ParseExpectedRows(s string) (ExpectedRows, error) {
	var e ExpectedRows
	var err error
	number := func(text string) int64 {
		n, wrong := strconv.ParseInt(strings.NewReplacer("_", "", ",", "").Replace(text), 10, 64)
		if wrong != nil {
			err = fmt.Errorf("%q is no number of rows", text)
		}
		return n
	}
	plain := strings.Join(strings.Fields(strings.ToLower(s)), " ")
	if m := expectWithin.FindStringSubmatch(plain); m != nil {
		if e.Within, err = strconv.ParseFloat(m[1], 64); err == nil && e.Within == 0 {
			err = fmt.Errorf("within 0%% would hold back every change")
		}
	} else if m := expectAtLeast.FindStringSubmatch(plain); m != nil {
		if e.Least = number(m[1]); err == nil && e.Least == 0 {
			err = fmt.Errorf("at least 0 expects nothing")
		}
	} else if m := expectBetween.FindStringSubmatch(plain); m != nil {
		if e.Least, e.Most = number(m[1]), number(m[2]); err == nil && (e.Most < e.Least || e.Most == 0) {
			err = fmt.Errorf("no number is between %d and %d", e.Least, e.Most)
		}
	} else {
		err = fmt.Errorf("%q says nothing about a number of rows", s)
	}
	if err != nil {
		return ExpectedRows{}, err
	}
	return e, nil
}

// String returns what is expected as it is written.
func (e ExpectedRows) String() string {
	switch {
	case e.Within > 0:
		return "within " + strconv.FormatFloat(e.Within, 'f', -1, 64) + "%"
	case e.Most > 0:
		return fmt.Sprintf("between %d and %d", e.Least, e.Most)
	case e.Least > 0:
		return fmt.Sprintf("at least %d", e.Least)
	}
	return ""
}

// Judge returns what is wrong with a row count, or "". trailing are the row counts of the last published versions, in
// any order.
func (e ExpectedRows) Judge(rows int64, trailing []int64) string {
	switch {
	case e.Least > 0 && rows < e.Least, e.Most > 0 && rows > e.Most:
		return fmt.Sprintf("%d rows, expected %s", rows, e)
	case e.Within == 0 || len(trailing) < LeastTrailing:
		return ""
	}
	usual := Median(trailing)
	low, high := float64(usual)*(1-e.Within/100), float64(usual)*(1+e.Within/100)
	if f := float64(rows); f >= low && f <= high {
		return ""
	}
	return fmt.Sprintf("%d rows, expected %s of %d, the median of the last %d published", rows, e, usual, len(trailing))
}

// Median returns the middle one of some numbers, the lower of two; 0 for none.
func Median(numbers []int64) int64 {
	if len(numbers) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[(len(sorted)-1)/2]
}

// Allowance lets a dataset's day pass a guard once, because a person says so.
type Allowance struct {
	ID      int64
	Dataset DatasetName
	Date    Date
	Actor   string
	Reason  string
}
