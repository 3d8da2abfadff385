package extract

import (
	"slices"
	"strings"
	"unicode"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// cursorNames are what columns that say when a row last changed are usually called, best first.
var cursorNames = []string{
	"updated_at", "modified_at", "changed_at", "last_updated_at", "last_modified_at", "last_updated", "last_modified",
	"updated_on", "modified_on", "updated", "modified", "update_time", "modify_time", "mtime",
}

// personalNames are words, or words in a row, that name personal data.
var personalNames = []string{
	"email", "mail", "phone", "mobile", "fax", "first_name", "last_name", "full_name", "given_name", "family_name", "surname",
	"maiden_name", "birth", "birthday", "birthdate", "dob", "address", "street", "zip", "zipcode", "postcode", "postal",
	"ssn", "passport", "iban", "card_number", "tax_id", "vat_id", "ip", "password", "secret", "token", "latitude",
	"longitude", "gender", "salary",
}

// Propose fills in how the table would best be extracted: incremental when it has a key and a column that
// looks like a cursor, and which columns look like personal data.
func Propose(info *TableInfo) {
	info.Mode = elt.Full
	for _, name := range cursorNames {
		for _, c := range info.Columns {
			isTime := c.Type.Kind == elt.Timestamp || c.Type.Kind == elt.LocalTimestamp
			if info.Cursor == "" && isTime && words(c.Name) == name {
				info.Cursor = c.Name
			}
		}
	}
	if info.Cursor != "" && len(info.Key) > 0 {
		info.Mode = elt.Incremental
	}
	for _, c := range info.Columns {
		name := "_" + words(c.Name) + "_"
		if slices.ContainsFunc(personalNames, func(p string) bool { return strings.Contains(name, "_"+p+"_") }) {
			info.Personal = append(info.Personal, c.Name)
		}
	}
}

// words returns a name in lower case with _ between its words: "lastName" is "last_name".
func words(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case unicode.IsUpper(r) && lower:
			b.WriteRune('_')
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune('_')
		}
		lower = unicode.IsLower(r)
	}
	return b.String()
}
