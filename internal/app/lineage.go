package app

import (
	"cmp"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/notify"
)

// lineage returns the OpenLineage endpoint of the configuration, which must have one.
func (ws *workspace) lineage() notify.Destination {
	cfg := ws.config
	l := notify.Lineage{
		URL: cfg.OpenLineage.URL.Reveal(), Key: cfg.OpenLineage.APIKey.Reveal(), Namespace: cfg.OpenLineage.Namespace, Version: version,
		Sources: make(map[elt.SourceName]notify.Place), Tables: make(map[elt.DatasetName]string), Dialect: "duckdb",
		Lake:      notify.Place{Namespace: "file", Prefix: absolute(cfg.Lake.Folder) + "/"},
		Warehouse: notify.Place{Namespace: "duckdb://" + absolute(cfg.Warehouse.DuckDB), Prefix: baseName(cfg.Warehouse.DuckDB) + "."},
	}
	if s3 := cfg.Lake.S3; s3 != nil {
		l.Lake = notify.Place{Namespace: "s3://" + s3.Bucket}
		if s3.Prefix != "" {
			l.Lake.Prefix = strings.TrimSuffix(s3.Prefix, "/") + "/"
		}
	}
	if b := cfg.Warehouse.BigQuery; b != nil {
		l.Warehouse, l.Dialect = notify.Place{Namespace: "bigquery", Prefix: b.Project + "." + b.DatasetPrefix}, "bigquery"
	}
	for name, s := range cfg.Sources {
		l.Sources[name] = sourcePlace(s)
	}
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			l.Tables[t.Dataset] = t.Table
			if source, _ := t.Dataset.Split(); cfg.Sources[elt.SourceName(source)].Postgres != "" && !strings.Contains(t.Table, ".") {
				l.Tables[t.Dataset] = "public." + t.Table
			}
		}
	}
	if ws.project != nil {
		l.Code = ws.project.Code
	}
	return notify.OpenLineage(l)
}

// sourcePlace names a source as OpenLineage does, so that what other programs tell of the same tables meets: by its server
// and its database. Nothing else of its URL, which holds a password, gets out.
func sourcePlace(s config.Source) notify.Place {
	if s.SQLite != "" {
		return notify.Place{Namespace: "sqlite://" + absolute(s.SQLite)}
	}
	scheme, dsn, port := "postgres", s.Postgres, "5432"
	if s.MySQL != "" {
		scheme, dsn, port = "mysql", s.MySQL, "3306"
	}
	u, err := url.Parse(dsn.Reveal())
	if err != nil || u.Hostname() == "" {
		return notify.Place{}
	}
	p := notify.Place{Namespace: scheme + "://" + u.Hostname() + ":" + cmp.Or(u.Port(), port)}
	if database := strings.Trim(u.Path, "/"); database != "" {
		p.Prefix = database + "."
	}
	return p
}

// absolute is the path whatever folder the process was started in; as it is where that folder is gone.
func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

func baseName(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
