package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Init writes a first workspace.
type Init struct {
	Folder string `arg:"" optional:"" default:"." help:"The workspace's folder; made when it is missing."`
	Source string `default:"shop" placeholder:"NAME" help:"What the first source is called."`
	Engine string `enum:"postgres,mysql" default:"postgres" help:"What the source is: postgres, or mysql (MariaDB and Aurora too). An environment variable names the server."`
	SQLite string `name:"sqlite" placeholder:"FILE" help:"The source is this SQLite file, and no server."`
}

// Help is the long help of the command.
func (Init) Help() string {
	return `Writes a daybreak.yaml that says what its first settings mean, and the folders for schedules and SQL. A daybreak.yaml that is there already is left alone.

  daybreak init data --source shop && cd data
  export SHOP_URL=postgres://daybreak@db.example.com/shop
  daybreak discover shop > schedules/nightly.yaml`
}

const firstConfig = `# What this workspace reads, where it keeps things, and how others see it.
# Every setting: docs/configuration.md. Secrets come from the environment (${env:NAME}) or a file (${file:path}).
title: Our data

sources:
  %s: %s

# Where things are kept. These are the defaults: everything in this folder, and no server needed.
# ledger: sqlite:state/ledger.db        # or ${env:LEDGER_URL}, a postgres:// URL
# lake: lake                            # or {s3: {bucket: acme-lake, region: eu-west-1}}
# warehouse: {duckdb: state/warehouse.duckdb, read_copy: read/warehouse.duckdb}

# The key of columns that a schedule hashes.
# masking: {key: "${env:DAYBREAK_MASK_KEY}"}

status:
  listen: 127.0.0.1:8080
  public: true                          # everybody who reaches the address may read; otherwise set a token
  # token: ${env:DAYBREAK_TOKEN}
`

const firstIgnore = "/lake/\n/read/\n/state/\n"

// Run runs the command.
func (i *Init) Run(c *Console) error {
	if !elt.ValidPlainName(i.Source) {
		return &elt.Error{
			Code: "bad_source_name", Class: elt.Config,
			What: fmt.Sprintf("%q cannot name a source", i.Source),
			Do:   "use lower-case letters, digits, _ and -, beginning with a letter",
		}
	}
	variable := strings.ToUpper(strings.ReplaceAll(i.Source, "-", "_")) + "_URL"
	source := fmt.Sprintf(`{%s: "${env:%s}", connections: 4}`, i.Engine, variable)
	if i.SQLite != "" {
		source = fmt.Sprintf("{sqlite: %q}", i.SQLite)
	}
	for _, dir := range []string{"schedules", "sql/models"} {
		if err := os.MkdirAll(filepath.Join(i.Folder, dir), 0o755); err != nil {
			return &elt.Error{
				Code: "folder_unwritable", Class: elt.Config, Err: err,
				What: "cannot make the workspace's folders", Do: "choose a folder that this user may write to",
			}
		}
	}
	if err := writeNew(filepath.Join(i.Folder, config.FileName), fmt.Sprintf(firstConfig, i.Source, source)); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(i.Folder, ".gitignore"), firstIgnore); elt.CodeOf(err) != "file_exists" && err != nil {
		return err
	}
	c.printf("wrote %s\n\nNext:\n", filepath.Join(i.Folder, config.FileName))
	if i.Folder != "." {
		c.printf("  cd %s\n", i.Folder)
	}
	if i.SQLite == "" {
		c.printf("  export %s=%s\n", variable, map[string]string{
			"postgres": "postgres://user:password@host:5432/database",
			"mysql":    "mysql://user:password@host:3306/database",
		}[i.Engine])
	}
	c.printf("  daybreak discover %s > schedules/nightly.yaml   then edit: owners, deadlines, what to leave out\n", i.Source)
	c.printf("  daybreak check\n  daybreak run\n  daybreak serve\n")
	return nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &elt.Error{
			Code: "file_exists", Class: elt.Config,
			What: path + " is there already, and is left as it is", Do: "edit it, or choose another folder",
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}
