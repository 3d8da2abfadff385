// Package yamlfile reads the YAML files that people edit, and says everything that is wrong with them at
// once, each problem with its line and column.
//
// YAML forgives too much for a file that decides which data is ready: here an unknown key, a key given twice,
// a value of another type, a tag, a second document or a tab is a problem, not a guess. A file is parsed once
// into a tree of nodes that keep their positions, ${env:NAME} is then expanded in values only, and the tree is
// decoded into structs; what is wrong with the meaning is placed with File.Problem at the same positions.
package yamlfile
