// Package jinja renders the part of Jinja2 that SQL models use, and renders it as Jinja2 does.
//
// Gonja lexes, parses and runs the blocks; what values mean is decided here. After parsing, every
// expression of the tree is replaced by a call of one function that knows its operator and its place in
// the file, so that numbers, None, undefined names, dictionaries' order and filters behave as in Jinja2
// or are refused with file, line and a way out. Nothing is rendered approximately: a construct outside
// the subset is an error of Parse, a value that Jinja2 would print in a way that SQL cannot use (a list,
// None) is an error of Render.
//
// A rendering always ends: macros may nest 100 deep, half a million expressions may be evaluated, a text
// may grow to 16 MiB and a list to 100,000 elements.
package jinja
