// Package bench measures extraction against the least that a client of the same server can do: a binary COPY that
// is received and thrown away. Each run is a process of its own, so that its CPU seconds and its peak of memory
// are its own; contenders take turns, and of several rounds the median counts.
package bench
