// Package disk is the lake in a folder.
//
// An object is written under a temporary name, synced, and then linked to its key: the link either
// creates the key or fails, so an object appears whole and never replaces another, whatever else runs or
// crashes.
package disk
