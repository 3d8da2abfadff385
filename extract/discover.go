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
	"updated_on", "modified_on", "updated", "modified", "update_time", "modify_time", "mtime", "row_updated_at", "updated_date",
	"date_updated", "date_modified", "updated_timestamp", "geaendert_am", "aktualisiert_am", "modifie_le", "actualizado_en",
}

// fullBelow is how many rows a table may have and still be read whole every night without anybody minding.
const fullBelow = 100_000

// Propose fills in how the table would best be extracted, and which columns look like personal data: whole where that is
// cheap or nothing else is possible, else the rows that changed.
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
	small := info.Rows >= 0 && info.Rows < fullBelow
	if info.Cursor != "" && len(info.Key) > 0 && !small {
		info.Mode = elt.Incremental
	}
	for _, c := range info.Columns {
		if looksPersonal(info.Name, c.Name) {
			info.Personal = append(info.Personal, c.Name)
		}
	}
}

// Proposed returns what is proposed for a table as an extraction: its mode, key and cursor, with the columns left out that
// no warehouse can name. defaults are the source's.
func Proposed(info TableInfo, name elt.DatasetName, defaults elt.ColumnRules) elt.Extraction {
	source, _ := name.Split()
	e := elt.Extraction{Dataset: name, Source: elt.SourceName(source), Table: info.Name, Mode: info.Mode, Key: info.Key, Cursor: info.Cursor}
	e.Defaults = defaults
	if e.Mode == elt.Full {
		e.Cursor = ""
	}
	e.Exclude = unnameable(info.Columns)
	return e
}

// unnameable returns the columns that no warehouse can hold beside the others.
func unnameable(columns elt.Schema) (out []string) {
	var taken elt.Schema
	for _, column := range columns {
		c := checker{}
		c.names(append(taken, column))
		if len(c.errors) > 0 {
			out = append(out, column.Name)
			continue
		}
		taken = append(taken, column)
	}
	return out
}

// Undecided returns the columns of an extraction that look personal, or are marked so, and that nothing decides about.
func Undecided(info TableInfo, e elt.Extraction) (out []string) {
	for _, c := range info.Columns {
		if d := decide(e, c.Name); !d.decided && !d.out && personal(e, info, c.Name) != "" {
			out = append(out, c.Name)
		}
	}
	return out
}

// personalNames are words, or words in a row, that name personal data, in the languages in which schemas are written.
var personalNames = strings.Fields(`
	email e_mail mail phone mobile fax tel msisdn whatsapp skype
	first_name last_name full_name given_name family_name middle_name surname maiden_name nickname username user_name
	birth birthday birthdate birthplace dob date_of_birth
	address addr street zip zipcode postcode postal lat lng latitude longitude geolocation
	ssn sin nino passport driver_license driving_licence national_id tax_id vat_id tin iban bic account_number card_number
	credit_card cvv ip ip_address ipv4 ipv6 mac_address device_id idfa gaid user_agent
	password passwd pwd password_hash secret token api_key
	gender sex ethnicity religion nationality marital_status salary wage health diagnosis blood_type
	vorname nachname familienname geburtsname geburtsdatum geburtstag strasse straße hausnummer plz telefon handy mobil kontonummer steuernummer
	steuer_id ausweisnummer passwort geschlecht gehalt adresse anschrift
	prenom prénom nom_de_famille date_naissance naissance courriel adresse_mail telephone téléphone portable code_postal rue nir mot_de_passe
	apellido apellidos correo telefono teléfono movil direccion dirección calle codigo_postal nacimiento fecha_nacimiento dni nif nie contrasena
	cognome indirizzo nascita data_nascita codice_fiscale cellulare
	sobrenome endereco endereço nascimento data_nascimento cpf cnpj celular senha
	voornaam achternaam geboortedatum adres straat bsn telefoonnummer wachtwoord
	imie imię nazwisko pesel data_urodzenia ulica haslo
	fornamn förnamn efternamn personnummer fodelsedatum gatuadress`)

// names of a person where the table is of persons.
var bareNames = strings.Fields(`name nom nome nombre naam namn contact recipient`)

// personTables are words in the names of tables whose rows are persons.
var personTables = strings.Fields(`
	user users customer customers client clients person persons people contact contacts member members employee employees
	patient patients student students guest guests lead leads subscriber subscribers recipient recipients account_holder profile profiles
	kunde kunden person personen mitarbeiter benutzer utilisateur utilisateurs personne personnes usuario usuarios cliente clientes
	utente utenti persona personas gebruiker gebruikers klant klanten uzytkownik kund kunder`)

// looksPersonal reports whether a column's name, in its table, looks like personal data.
func looksPersonal(table, column string) bool {
	name := words(column)
	if slices.ContainsFunc(personalNames, func(p string) bool { return hasWords(name, p) }) {
		return true
	}
	_, bare := cutLast(table)
	return slices.Contains(bareNames, name) && slices.ContainsFunc(personTables, func(p string) bool { return hasWords(words(bare), p) })
}

// hasWords reports whether the words are in the name, one after the other.
func hasWords(name, words string) bool { return strings.Contains("_"+name+"_", "_"+words+"_") }

// cutLast cuts the last part off a table's name.
func cutLast(table string) (before, last string) {
	at := strings.LastIndexByte(table, '.')
	return table[:max(at, 0)], table[at+1:]
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
