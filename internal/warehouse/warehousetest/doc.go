// Package warehousetest holds what every warehouse must do, as one suite of tests over small interfaces, and
// the means to write it: Parquet files written by Arrow, and the facts of elt.TableStats computed in Go,
// independently of any engine. Only tests import it.
package warehousetest
