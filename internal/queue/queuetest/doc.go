// Package queuetest holds the suite that every work queue passes. A queue may lose a step, hand it over twice or late; what it
// may not do is to keep a step from being found again.
package queuetest
