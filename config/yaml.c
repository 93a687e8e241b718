/* yaml.c - libyaml's events flattened to dotted names.
 *
 * Invariant: `name` is the path of the mapping that is being read, and `depth` the number
 * of mappings around the next event. */
#include "config/yaml.h"

#include <yaml.h>

enum { MAX_DEPTH = 4, MAX_NAME = 256, MAX_LIST = 64 * 1024 };

struct reader {
    yaml_parser_t parser;
    tg_yaml_item_fn *on_item;
    tg_yaml_error_fn *on_error;
    void *arg;
    struct tg_buf name;
    struct tg_buf list;
};

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static enum tg_rc fail(struct reader *r, yaml_mark_t mark, const char *what)
{
    r->on_error(line_of(mark), what, r->arg);
    return TG_ESYNTAX;
}

static bool has_extras(const yaml_event_t *e)
{
    if (e->type == YAML_SCALAR_EVENT) {
        return e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL;
    }
    if (e->type == YAML_MAPPING_START_EVENT) {
        return e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL;
    }
    if (e->type == YAML_SEQUENCE_START_EVENT) {
        return e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL;
    }
    return e->type == YAML_ALIAS_EVENT;
}

/* On TG_OK the event is the caller's to delete. */
static enum tg_rc next_event(struct reader *r, yaml_event_t *ret_event)
{
    yaml_event_t e;

    if (yaml_parser_parse(&r->parser, &e) == 0) {
        const char *problem = r->parser.problem;

        return fail(r, r->parser.problem_mark, problem == NULL ? "not readable" : problem);
    }
    if (has_extras(&e)) {
        enum tg_rc rc = fail(r, e.start_mark, "anchors, aliases and tags are not supported");

        yaml_event_delete(&e);
        return rc;
    }
    *ret_event = e;
    return TG_OK;
}

static tg_str text_of(const yaml_event_t *scalar)
{
    return tg_str_make((const char *)scalar->data.scalar.value, scalar->data.scalar.length);
}

/* Plain nothing, as opposed to "". */
static bool is_nothing(const yaml_event_t *scalar)
{
    tg_str text = text_of(scalar);

    return scalar->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text.n == 0 || tg_str_eq(text, TG_STR("~")) || tg_str_eq(text, TG_STR("null")));
}

static void give(struct reader *r, enum tg_yaml_kind kind, tg_str text, unsigned line)
{
    const struct tg_yaml_item item = {tg_buf_view(&r->name), text, line, kind};

    r->on_item(&item, r->arg);
}

static enum tg_rc add_entry(struct reader *r, const yaml_event_t *e, bool is_first)
{
    if (e->type != YAML_SCALAR_EVENT) {
        return fail(r, e->start_mark, "a list holds single values only");
    }
    if (is_nothing(e) || e->data.scalar.length == 0) {
        return fail(r, e->start_mark, "an entry of this list is empty");
    }
    if (tg_str_find(text_of(e), ',') < e->data.scalar.length) {
        return fail(r, e->start_mark, "an entry of a list must not contain a comma");
    }
    if (!is_first) {
        tg_buf_char(&r->list, ',');
    }
    if (tg_buf_str(&r->list, text_of(e)) != TG_OK) {
        return fail(r, e->start_mark, "this list is too long");
    }
    return TG_OK;
}

static enum tg_rc read_list(struct reader *r, unsigned line)
{
    enum tg_rc rc = TG_OK;
    bool is_first = true;

    tg_buf_clear(&r->list);
    for (;;) {
        yaml_event_t e;

        rc = next_event(r, &e);
        if (rc != TG_OK) {
            return rc;
        }
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            give(r, TG_YAML_LIST, tg_buf_view(&r->list), line);
            return TG_OK;
        }
        rc = add_entry(r, &e, is_first);
        yaml_event_delete(&e);
        if (rc != TG_OK) {
            return rc;
        }
        is_first = false;
    }
}

static enum tg_rc push_name(struct reader *r, const yaml_event_t *e)
{
    if (e->type != YAML_SCALAR_EVENT) {
        return fail(r, e->start_mark, "a name is expected here");
    }
    if (r->name.n > 0) {
        tg_buf_char(&r->name, '.');
    }
    if (tg_buf_str(&r->name, text_of(e)) != TG_OK || tg_buf_rc(&r->name) != TG_OK) {
        return fail(r, e->start_mark, "this name is too long");
    }
    return TG_OK;
}

static enum tg_rc read_mapping(struct reader *r, unsigned depth);

static enum tg_rc read_value(struct reader *r, unsigned line, unsigned depth)
{
    yaml_event_t e;
    enum tg_rc rc = next_event(r, &e);

    if (rc != TG_OK) {
        return rc;
    }
    if (e.type == YAML_SCALAR_EVENT) {
        give(r, is_nothing(&e) ? TG_YAML_EMPTY : TG_YAML_TEXT, text_of(&e), line);
    } else if (e.type == YAML_SEQUENCE_START_EVENT) {
        rc = read_list(r, line);
    } else if (depth == MAX_DEPTH) {
        rc = fail(r, e.start_mark, "this is nested too deeply");
    } else {
        give(r, TG_YAML_SECTION, TG_STR_NONE, line);
        rc = read_mapping(r, depth + 1);
    }
    yaml_event_delete(&e);
    return rc;
}

/* Recursion is bounded by MAX_DEPTH. */
static enum tg_rc read_mapping(struct reader *r, unsigned depth)
{
    for (;;) {
        size_t outer = r->name.n;
        unsigned line = 0;
        bool is_end = false;
        yaml_event_t e;
        enum tg_rc rc = next_event(r, &e);

        if (rc != TG_OK) {
            return rc;
        }
        is_end = e.type == YAML_MAPPING_END_EVENT;
        line = line_of(e.start_mark);
        rc = is_end ? TG_OK : push_name(r, &e);
        yaml_event_delete(&e);
        if (is_end) {
            return TG_OK;
        }
        if (rc == TG_OK) {
            rc = read_value(r, line, depth);
        }
        if (rc != TG_OK) {
            return rc;
        }
        r->name.n = outer;
    }
}

/* One document whose root is a mapping; an empty file is an empty mapping. */
static enum tg_rc read_stream(struct reader *r)
{
    bool had_document = false;

    for (;;) {
        yaml_event_t e;
        enum tg_rc rc = next_event(r, &e);
        yaml_event_type_t type = YAML_NO_EVENT;

        if (rc != TG_OK) {
            return rc;
        }
        type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT && had_document) {
            rc = fail(r, e.start_mark, "only one document is allowed");
        } else if (type == YAML_MAPPING_START_EVENT) {
            rc = read_mapping(r, 1);
        } else if (type == YAML_SEQUENCE_START_EVENT ||
                   (type == YAML_SCALAR_EVENT && !is_nothing(&e))) {
            rc = fail(r, e.start_mark, "sections are expected here, such as \"server:\"");
        }
        had_document = had_document || type == YAML_DOCUMENT_START_EVENT;
        yaml_event_delete(&e);
        if (rc != TG_OK || type == YAML_STREAM_END_EVENT) {
            return rc;
        }
    }
}

enum tg_rc tg_yaml_read(tg_str text, tg_yaml_item_fn *on_item, tg_yaml_error_fn *on_error,
                        void *arg)
{
    struct reader r = {.on_item = on_item, .on_error = on_error, .arg = arg};
    enum tg_rc rc = TG_OK;

    TG_ASSERT(yaml_parser_initialize(&r.parser) == 1);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n == 0 ? "" : text.p),
                                 text.n);
    tg_buf_init(&r.name, MAX_NAME);
    tg_buf_init(&r.list, MAX_LIST);
    rc = read_stream(&r);
    tg_buf_fini(&r.name);
    tg_buf_fini(&r.list);
    yaml_parser_delete(&r.parser);
    return rc;
}
