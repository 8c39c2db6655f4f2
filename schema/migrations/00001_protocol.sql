-- The tables of the protocol (docs/protocol.md). Ids are made by the application: version 7 where time order helps,
-- random where Temporal or a vendor sees them. Lock order, always: record by id → delivery → call → claim → slot.

-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
  -- Roles belong to the cluster; two databases of one cluster may be migrated at once.
  FOR i IN 1..2 LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', (ARRAY['lockstep_app', 'lockstep_read'])[i]);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END LOOP;
END $$;
-- +goose StatementEnd

CREATE TABLE bundle (
  digest text PRIMARY KEY,
  map    text NOT NULL,
  added  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE active_bundle (
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  digest text NOT NULL REFERENCES bundle,
  since  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE epoch (
  n         bigint PRIMARY KEY,
  system_id text NOT NULL,
  timeline  bigint NOT NULL,
  recovered boolean NOT NULL,
  since     timestamptz NOT NULL DEFAULT now()
);

-- Two generations of remembered keys, and one kept for good for sources whose signature covers no time.
CREATE TABLE dedupe_current (
  source   text NOT NULL,
  key      bytea NOT NULL,
  receipt  uuid NOT NULL,
  body_mac bytea NOT NULL,
  PRIMARY KEY (source, key)
);
CREATE TABLE dedupe_previous (LIKE dedupe_current INCLUDING ALL);
CREATE TABLE dedupe_kept (LIKE dedupe_current INCLUDING ALL);
CREATE TABLE dedupe_rotation (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO dedupe_rotation DEFAULT VALUES;
INSERT INTO epoch (n, system_id, timeline, recovered)
SELECT 1, s.system_identifier::text, c.timeline_id, true FROM pg_control_system() s, pg_control_checkpoint() c;

CREATE TABLE event (
  id          uuid NOT NULL PRIMARY KEY,
  ref         uuid NOT NULL,
  source      text NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('change', 'full', 'delete', 'merge', 'read')),
  part        smallint NOT NULL DEFAULT 0,
  source_at   timestamptz,
  source_seq  bigint,
  lane        smallint NOT NULL,
  received_at timestamptz NOT NULL,
  body        bytea,
  dek         bytea
) PARTITION BY RANGE (id);

CREATE TABLE outcome (
  event         uuid NOT NULL,
  round         smallint NOT NULL DEFAULT 0,
  outcome       text NOT NULL CHECK (outcome IN ('applied', 'superseded', 'echo', 'ignored', 'dead', 'erased')),
  reason        text,
  bundle        text NOT NULL,
  superseded_by uuid,
  fields        jsonb,
  call          uuid,
  at            timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event, round)
) PARTITION BY RANGE (event);

CREATE TABLE call (
  id          uuid NOT NULL PRIMARY KEY,
  claim       uuid NOT NULL,
  part        smallint NOT NULL,
  system      text NOT NULL,
  object      text NOT NULL,
  op          text NOT NULL,
  records     uuid[] NOT NULL,
  revs        bigint[] NOT NULL,
  payload_mac bytea NOT NULL,
  bundle      text NOT NULL,
  sent_at     timestamptz NOT NULL,
  deadline    timestamptz NOT NULL,
  answered_at timestamptz,
  state       text NOT NULL CHECK (state IN ('sent', 'answered', 'unknown')),
  kind        text
) PARTITION BY RANGE (id);
CREATE INDEX call_sent ON call (claim, part) WHERE state = 'sent';

CREATE TABLE event_default PARTITION OF event DEFAULT;
CREATE TABLE outcome_default PARTITION OF outcome DEFAULT;
CREATE TABLE call_default PARTITION OF call DEFAULT;

CREATE TABLE ref (
  id         uuid PRIMARY KEY,
  system     text NOT NULL,
  object     text NOT NULL,
  vendor_mac bytea,
  record     uuid NOT NULL,
  state      text NOT NULL CHECK (state IN ('creating', 'active', 'merged', 'gone', 'alias')),
  CHECK (vendor_mac IS NOT NULL OR state = 'creating')
);
CREATE UNIQUE INDEX ref_vendor ON ref (system, object, vendor_mac);
CREATE UNIQUE INDEX ref_live ON ref (record, system, object) WHERE state IN ('creating', 'active');
CREATE INDEX ref_record ON ref (record);

CREATE TABLE identity_key (
  kind     text NOT NULL,
  issuer   text NOT NULL DEFAULT '',
  norm     smallint NOT NULL,
  mac      bytea NOT NULL,
  record   uuid NOT NULL,
  reserves boolean NOT NULL
);
CREATE UNIQUE INDEX identity_key_reserved ON identity_key (kind, issuer, norm, mac) WHERE reserves;
CREATE INDEX identity_key_mac ON identity_key (mac, kind) WHERE NOT reserves;
CREATE UNIQUE INDEX identity_key_record ON identity_key (record, kind, issuer, norm, mac);

CREATE TABLE record (
  id          uuid PRIMARY KEY,
  object      text NOT NULL,
  rev         bigint NOT NULL DEFAULT 0,
  identified  boolean NOT NULL DEFAULT false,
  state       bytea CHECK (length(state) > 0),
  dek         bytea,
  bundle      text,
  merged_into uuid,
  wants_join  uuid,
  epoch       bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 70);
CREATE INDEX record_wants_join ON record (wants_join) WHERE wants_join IS NOT NULL;

CREATE TABLE open_event (
  event         uuid PRIMARY KEY,
  record        uuid NOT NULL,
  source        text NOT NULL,
  system        text NOT NULL,
  lane          smallint NOT NULL,
  seq           bigserial NOT NULL,
  state         text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'decided', 'held')),
  rev           bigint,
  verdict       text,
  reason        text,
  held_until    timestamptz,
  tries         smallint NOT NULL DEFAULT 0,
  reads         smallint NOT NULL DEFAULT 0,
  round         smallint NOT NULL DEFAULT 0,
  superseded_by uuid,
  fields        jsonb,
  CHECK ((state = 'decided') = (rev IS NOT NULL AND verdict IS NOT NULL)),
  CHECK ((state = 'held') <= (reason IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX open_event_new ON open_event (lane, seq) WHERE state = 'new';
CREATE INDEX open_event_record ON open_event (record);
CREATE INDEX open_event_held ON open_event (held_until) WHERE state = 'held';

CREATE TABLE delivery (
  record         uuid NOT NULL,
  system         text NOT NULL,
  object         text NOT NULL,
  state          text NOT NULL CHECK (state IN ('idle', 'ready', 'claimed', 'parked')),
  op             text NOT NULL CHECK (op IN ('write', 'link', 'create', 'read', 'find', 'delete', 'steps')),
  lane           smallint NOT NULL,
  ready_at       timestamptz NOT NULL,
  desired_rev    bigint NOT NULL,
  owed_from      bigint,
  claim          uuid,
  part           smallint,
  tries          smallint NOT NULL DEFAULT 0,
  waits_for      uuid,
  read_wanted    boolean NOT NULL DEFAULT false,
  isolate        boolean NOT NULL DEFAULT false,
  verified_epoch bigint NOT NULL,
  reason         text,
  -- When the record began to fail in the system, and the kind of its last failure; null once it got through or a person
  -- has it again. Claims come and go, and the clock goes on (ADR 0016).
  failing_since  timestamptz,
  failing_kind   text,
  PRIMARY KEY (record, system),
  CHECK ((state = 'idle') = (owed_from IS NULL)),
  CHECK (owed_from <= desired_rev),
  CHECK ((state = 'claimed') = (claim IS NOT NULL)),
  CHECK ((state = 'parked') <= (reason IS NOT NULL)),
  CHECK ((failing_since IS NULL) = (failing_kind IS NULL)),
  CHECK ((state = 'idle') <= (failing_since IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX delivery_ready ON delivery (system, object, op, lane, ready_at) WHERE state = 'ready';
CREATE INDEX delivery_claim ON delivery (claim) WHERE claim IS NOT NULL;

CREATE TABLE claim (
  id       uuid PRIMARY KEY,
  kind     text NOT NULL CHECK (kind IN ('batch', 'single', 'together')),
  system   text NOT NULL,
  object   text NOT NULL,
  op       text NOT NULL,
  lane     smallint NOT NULL,
  slot     smallint,
  parts    smallint NOT NULL,
  records  smallint NOT NULL,
  record   uuid,
  open     boolean NOT NULL,
  attempt  smallint NOT NULL DEFAULT 0,
  check_at timestamptz NOT NULL,
  made_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX claim_check ON claim (check_at) WHERE open;

CREATE TABLE slot (
  system text NOT NULL,
  class  text NOT NULL CHECK (class IN ('batch', 'single')),
  n      smallint NOT NULL,
  lanes  smallint[] NOT NULL,
  claim  uuid,
  PRIMARY KEY (system, class, n)
) WITH (fillfactor = 50);
CREATE INDEX slot_claim ON slot (claim) WHERE claim IS NOT NULL;

CREATE TABLE credential (
  system       text PRIMARY KEY,
  paused_until timestamptz,
  reason       text,
  -- What is left of an allowance, of which the reserve is for urgent lanes, and until when that counts.
  remaining    integer,
  reserve      integer,
  resets_at    timestamptz
);

CREATE TABLE system_state (
  system     text PRIMARY KEY,
  paused_by  text,
  paused_at  timestamptz,
  breaker    text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'probing')),
  open_until timestamptz,
  trips      integer NOT NULL DEFAULT 0,
  reason     text
);

CREATE TABLE member (
  id     uuid PRIMARY KEY,
  cause  text NOT NULL,
  reason text NOT NULL,
  system text NOT NULL,
  object text NOT NULL,
  owner  text NOT NULL,
  event  uuid,
  record uuid,
  opened timestamptz NOT NULL DEFAULT now(),
  closed timestamptz
);
CREATE INDEX member_open ON member (cause) WHERE closed IS NULL;
CREATE INDEX member_open_record ON member (record) WHERE closed IS NULL;
CREATE UNIQUE INDEX member_once ON member (cause, coalesce(event, record)) WHERE closed IS NULL;

CREATE TABLE dead_letter (
  n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          uuid NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('refused', 'quarantined', 'dead')),
  source      text NOT NULL,
  object      text NOT NULL,
  event       uuid,
  receipt     uuid,
  system      text,
  reason      text NOT NULL,
  field       text,
  rule        text,
  masked      text,
  code        text,
  owner       text NOT NULL,
  body_mac    bytea,
  body        bytea,
  dek         bytea,
  received_at timestamptz NOT NULL DEFAULT now(),
  closed_at   timestamptz
);
CREATE INDEX dead_letter_event ON dead_letter (event) WHERE event IS NOT NULL;
CREATE INDEX dead_letter_open ON dead_letter (reason, received_at) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX dead_letter_refused_once ON dead_letter (source, kind, body_mac) WHERE body_mac IS NOT NULL;

-- Counted in the transaction of what is counted; a row belongs to one backend at a time, so nobody waits for it.
CREATE TABLE tally (
  process integer NOT NULL,
  minute  timestamptz NOT NULL,
  source  text NOT NULL,
  what    text NOT NULL,
  n       bigint NOT NULL,
  PRIMARY KEY (process, minute, source, what)
) WITH (fillfactor = 50);

CREATE TABLE decider (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started timestamptz NOT NULL DEFAULT now(),
  alive   timestamptz NOT NULL DEFAULT now(),
  ended   timestamptz,
  seen    boolean NOT NULL DEFAULT false
);

CREATE TABLE audit (
  n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at     timestamptz NOT NULL DEFAULT now(),
  actor  text NOT NULL,
  act    text NOT NULL,
  object text NOT NULL,
  reason text
);

-- +goose StatementBegin
-- The id bound of a moment: the first version 7 uuid of its millisecond.
CREATE FUNCTION first_id(t timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Makes the partitions of the days from yesterday to n days ahead. Safe to repeat and to run twice at once.
CREATE FUNCTION make_partitions(ahead integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  day date;
  t   text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('lockstep.make_partitions'));
  FOR day IN SELECT generate_series((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + ahead, '1 day') LOOP
    FOREACH t IN ARRAY ARRAY['event', 'outcome', 'call'] LOOP
      IF to_regclass(format('%s_%s', t, to_char(day, 'YYYYMMDD'))) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', t || '_' || to_char(day, 'YYYYMMDD'), t,
          first_id(day::timestamp AT TIME ZONE 'UTC'), first_id((day + 1)::timestamp AT TIME ZONE 'UTC'));
      END IF;
    END LOOP;
  END LOOP;
END $$;
-- +goose StatementEnd

SELECT make_partitions(3);

-- +goose StatementBegin
-- Starts a new generation of remembered keys once the current one is older than keep. Safe to repeat.
CREATE FUNCTION rotate_dedupe(keep interval) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM 1 FROM dedupe_rotation WHERE since < now() - keep FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN false; END IF;
  LOCK TABLE dedupe_current, dedupe_previous IN ACCESS EXCLUSIVE MODE;
  TRUNCATE dedupe_previous;
  ALTER TABLE dedupe_previous RENAME TO dedupe_next;
  ALTER TABLE dedupe_current RENAME TO dedupe_previous;
  ALTER TABLE dedupe_next RENAME TO dedupe_current;
  UPDATE dedupe_rotation SET since = now();
  RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets raw bodies whose time is up: those of ended events after keep_ended, of dead ones after keep_dead. Works on at most
-- so many events; returns how many it emptied. Safe to repeat.
CREATE FUNCTION trim_bodies(keep_ended interval, keep_dead interval, at_most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  trimmed bigint;
BEGIN
  WITH due AS (
    SELECT e.id FROM event e
     WHERE e.id < first_id(now() - keep_ended) AND e.body IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM open_event o WHERE o.event = e.id)
       AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.event = e.id AND (d.closed_at IS NULL OR d.closed_at > now() - keep_ended)
                         AND d.received_at > now() - keep_dead)
     ORDER BY e.id LIMIT at_most),
  gone AS (UPDATE event e SET body = NULL, dek = NULL FROM due WHERE e.id = due.id RETURNING 1),
  old AS (UPDATE dead_letter d SET body = NULL, dek = NULL
     WHERE d.n IN (SELECT d.n FROM dead_letter d WHERE d.body IS NOT NULL AND d.received_at < now() - keep_dead ORDER BY d.n LIMIT at_most) RETURNING 1)
  SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM old) INTO trimmed;
  RETURN trimmed;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds up the tallies that are older than a while into one row for each counter, that of process 0. Whoever counts in one
-- of them meanwhile is skipped, or finds his row gone and begins it anew: no number is lost and none counted twice. Works on
-- at most so many rows; returns how many it folded. Safe to repeat and to run twice at once.
CREATE FUNCTION fold_tallies(older_than interval, at_most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  folded bigint;
BEGIN
  WITH due AS (
    SELECT process, minute, source, what FROM tally WHERE process <> 0 AND minute < now() - older_than
     ORDER BY minute, process, source, what LIMIT at_most FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM tally t USING due d WHERE (t.process, t.minute, t.source, t.what) = (d.process, d.minute, d.source, d.what)
    RETURNING t.source, t.what, t.n),
  sums AS (INSERT INTO tally (process, minute, source, what, n)
    SELECT 0, 'epoch', source, what, sum(n) FROM gone GROUP BY source, what ORDER BY source, what
    ON CONFLICT (process, minute, source, what) DO UPDATE SET n = tally.n + excluded.n)
  SELECT count(*) FROM gone INTO folded;
  RETURN folded;
END $$;
-- +goose StatementEnd

-- The application works with rows, never with tables; the ledger (event, outcome, audit) it can only add to.
GRANT USAGE ON SCHEMA public TO lockstep_app, lockstep_read;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO lockstep_app, lockstep_read;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO lockstep_app;
GRANT INSERT ON event, outcome, audit, bundle, dedupe_current, dedupe_previous, dedupe_kept TO lockstep_app;
GRANT INSERT, UPDATE ON call, record, credential, system_state, member, dead_letter, tally, decider, claim, slot, active_bundle, epoch TO lockstep_app;
GRANT INSERT, UPDATE, DELETE ON open_event, delivery, ref, identity_key TO lockstep_app;
GRANT DELETE ON slot TO lockstep_app;
-- FOR UPDATE on them asks for the right to update.
GRANT EXECUTE ON FUNCTION make_partitions(integer), rotate_dedupe(interval), trim_bodies(interval, interval, integer),
  fold_tallies(interval, integer) TO lockstep_app;
REVOKE EXECUTE ON FUNCTION make_partitions(integer), rotate_dedupe(interval), trim_bodies(interval, interval, integer),
  fold_tallies(interval, integer) FROM PUBLIC;

-- +goose Down
DROP TABLE audit, decider, tally, dead_letter, member, system_state, credential, slot, claim, delivery, open_event, record,
  identity_key, ref, call, outcome, event, dedupe_rotation, dedupe_kept, dedupe_previous, dedupe_current, epoch, active_bundle, bundle;
DROP FUNCTION fold_tallies, trim_bodies, rotate_dedupe, make_partitions, first_id;
