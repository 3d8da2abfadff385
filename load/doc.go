// Package load brings one dataset-day from the lake into a warehouse's staging, and vouches for it.
//
// It begins with a manifest, which extract writes last: no manifest, no load. The checksum of every part is
// checked before the warehouse reads it, the warehouse's count of rows must be the manifest's, and Verify has
// the warehouse take the same facts of every column as extract took while the rows passed. What fails stays
// in staging; nothing here touches what is published.
package load
