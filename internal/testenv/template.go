package testenv

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// template is a database that others are copies of.
type template struct {
	filled chan struct{} // closed once it is there
	err    error
}

// PostgresCopy returns the URL of a database that is the test's own, on the shared server: a copy of one that fill has filled, once
// in this process for each name. fill leaves no connection open.
func PostgresCopy(t testing.TB, name string, fill func(url string) error) string {
	t.Helper()
	c, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	of := "template_" + name
	made := &template{filled: make(chan struct{})}
	if known, again := c.templates.LoadOrStore(name, made); again {
		made = known.(*template)
		<-made.filled
	} else {
		made.err = c.fill(of, fill)
		close(made.filled)
	}
	if made.err != nil {
		t.Fatalf("fill the database %s: %v", of, made.err)
	}
	copied := fmt.Sprintf("test_%d", c.databases.Add(1))
	c.exec(t, "CREATE DATABASE "+copied+" TEMPLATE "+of)
	t.Cleanup(func() { c.exec(t, "DROP DATABASE "+copied+" WITH (FORCE)") })
	return c.url(copied)
}

// fill makes a database, fills it, and waits until nobody is connected to it: it cannot be copied before.
func (c *cluster) fill(name string, fill func(url string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return err
	}
	if err := fill(c.url(name)); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for connected := 1; ; <-again.C {
		if err := db.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name).Scan(&connected); err != nil || connected == 0 {
			return err
		}
	}
}
