// Package config reads daybreak.yaml, the one file that says where a workspace's databases, lake, warehouse
// and ledger are.
//
// Load reads everything, applies the defaults and returns every problem at once, so that a command either works
// on a whole configuration or says all that is wrong with it. What the keys mean is written once, in the
// published JSON schemas: editors teach from them, Reference prints them, and tests hold them to the structs.
package config
