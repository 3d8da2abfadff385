package elt

// RowPrint stands for one row of a table that is compared with another row by row.
type RowPrint struct {
	Key  string // as a message shows it, "id = 7"; masked columns are not shown
	Hash string // of the whole row
}

// BucketDigits is how many hexadecimal digits of a key's MD5 tell the parts apart into which a table is split when rows
// that differ are looked for: 4096 parts.
const BucketDigits = 3
