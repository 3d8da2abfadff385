package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// DaybreakSchema is the JSON schema of daybreak.yaml.
//
//go:embed daybreak.schema.json
var DaybreakSchema []byte

// ScheduleSchema is the JSON schema of the files in schedules.
//
//go:embed schedule.schema.json
var ScheduleSchema []byte

// property is what the reference tells about a key.
type property struct {
	Type        any             `json:"type"`
	Description string          `json:"description"`
	Default     json.RawMessage `json:"default"`
	Examples    []json.RawMessage
	Enum        []string
	Properties  properties
	Required    []string
	AnyOf       []property
	Items       *property
	// Additional is the value of every key that the user names; false and true tell nothing.
	Additional json.RawMessage `json:"additionalProperties"`
}

// properties keeps the schema's order, which is the order in which a reader meets the keys.
type properties []named

type named struct {
	name string
	property
}

// UnmarshalJSON reads an object's members in order.
func (ps *properties) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		n := named{name: fmt.Sprint(key)}
		if err := d.Decode(&n.property); err != nil {
			return err
		}
		*ps = append(*ps, n)
	}
	return nil
}

// Reference returns a schema as Markdown: a paragraph, and a table of every key with its default and meaning.
func Reference(schema []byte) (string, error) {
	var root property
	if err := json.Unmarshal(schema, &root); err != nil {
		return "", fmt.Errorf("read the JSON schema: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", cell(root.Description))
	if err := rows(&b, "", root); err != nil {
		return "", err
	}
	return b.String(), nil
}

// rows writes the keys of p, each under its path.
func rows(b *strings.Builder, path string, p property) error {
	for _, n := range p.Properties {
		key := path + n.name
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, n.value(), code(n.Default), cell(n.Description))
		if err := rows(b, key+".", n.property); err != nil {
			return err
		}
		for _, variant := range n.AnyOf {
			if err := rows(b, key+".", variant); err != nil {
				return err
			}
		}
		if n.Items != nil {
			if err := rows(b, key+"[].", *n.Items); err != nil {
				return err
			}
		}
		if bytes.HasPrefix(n.Additional, []byte("{")) {
			var each property
			if err := json.Unmarshal(n.Additional, &each); err != nil {
				return fmt.Errorf("read the JSON schema at %s: %w", key, err)
			}
			if err := rows(b, key+".NAME.", each); err != nil {
				return err
			}
		}
	}
	return nil
}

// value says what a key takes: its choices, an example, or its type.
func (p property) value() string {
	switch {
	case len(p.Enum) > 0:
		return "`" + strings.Join(p.Enum, "` or `") + "`"
	case len(p.Examples) > 0:
		return code(p.Examples[0])
	}
	name, ok := p.Type.(string)
	if list, several := p.Type.([]any); several && len(list) > 0 {
		name, ok = list[0].(string)
	}
	switch {
	case !ok:
		return "text or mapping"
	case name == "object":
		return "mapping"
	case name == "array":
		return "list"
	case name == "boolean":
		return "true or false"
	case name == "string":
		return "text"
	}
	return name
}

// code writes a JSON value as the YAML that people type.
func code(raw json.RawMessage) string {
	var text string
	switch err := json.Unmarshal(raw, &text); {
	case len(raw) == 0 || err == nil && text == "":
		return ""
	case err == nil:
		return "`" + cell(text) + "`"
	}
	return "`" + cell(string(raw)) + "`"
}

// cell keeps a text from ending its table cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
