// Package api holds the bodies of the status service's JSON: the service writes them, the client reads
// them. A field is only ever added.
package api
