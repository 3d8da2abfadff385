package bigquerytest

import (
	"slices"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

func (s *Server) listDatasets(c *call) (any, *refusal) {
	rows, err := s.db.Query("SELECT schema_name FROM information_schema.schemata WHERE catalog_name = 'memory' ORDER BY 1")
	if err != nil {
		return nil, invalid("%v", err)
	}
	defer rows.Close()
	list := &bq.DatasetList{Kind: "bigquery#datasetList", Etag: "e"}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, invalid("%v", err)
		}
		if slices.Contains([]string{"main", "information_schema", "pg_catalog"}, id) || strings.HasPrefix(id, "_") && c.get("all") != "true" {
			continue
		}
		list.Datasets = append(list.Datasets, &bq.DatasetListDatasets{
			Kind: "bigquery#dataset", Id: c.params["projectId"] + ":" + id, Location: s.location, Labels: s.labels[id],
			DatasetReference: &bq.DatasetReference{ProjectId: c.params["projectId"], DatasetId: id},
		})
	}
	if err := rows.Err(); err != nil {
		return nil, invalid("%v", err)
	}
	return list, nil
}

func (s *Server) getDataset(c *call) (any, *refusal) {
	id := c.params["datasetId"]
	if !s.hasDataset(id) {
		return nil, notFound("Dataset %s:%s", c.params["projectId"], id)
	}
	return &bq.Dataset{
		Kind: "bigquery#dataset", Id: c.params["projectId"] + ":" + id, Location: s.location, Labels: s.labels[id],
		DatasetReference: &bq.DatasetReference{ProjectId: c.params["projectId"], DatasetId: id},
	}, nil
}

func (s *Server) deleteDataset(c *call) (any, *refusal) {
	id := c.params["datasetId"]
	if !s.hasDataset(id) {
		return nil, notFound("Dataset %s:%s", c.params["projectId"], id)
	}
	how := "RESTRICT"
	if c.get("deleteContents") == "true" {
		how = "CASCADE"
	}
	if _, err := s.db.Exec("DROP SCHEMA " + quote(id) + " " + how); err != nil {
		return nil, invalid("Dataset %s:%s is still in use: %v", c.params["projectId"], id, err)
	}
	delete(s.datasets, id)
	delete(s.labels, id)
	for key := range s.tables {
		if strings.HasPrefix(key, id+".") {
			delete(s.tables, key)
		}
	}
	return nil, nil
}

// listRoutines: nobody has made any.
func (s *Server) listRoutines(c *call) (any, *refusal) {
	if !s.hasDataset(c.params["datasetId"]) {
		return nil, notFound("Dataset %s:%s", c.params["projectId"], c.params["datasetId"])
	}
	return &bq.ListRoutinesResponse{}, nil
}
