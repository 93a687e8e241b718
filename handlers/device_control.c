/* device_control.c - what every gateway must hear about a device: it was forgotten
 * (DELETE /sync/v1/devices/<id>), or it has a fresh token (POST /sync/v1/token). */
#include <jansson.h>
#include <stdlib.h>

#include "auth/token.h"
#include "handlers/client.h"
#include "handlers/control.h"
#include "handlers/device.h"
#include "handlers/device_touch.h"
#include "handlers/own.h"
#include "store/device.h"
#include "util/json.h"

static void refuse(struct tg_own *o, enum tg_rc rc)
{
    tg_own_refuse(o, rc, rc == TG_ENOTFOUND ? TG_STR("there is no such device") : TG_STR(""),
                  TG_STR(""));
}

/* ---- forgetting ---- */

/* Goes on when the client has left: what was forgotten must end everywhere. */
struct forgetting {
    struct tg_worker *w;
    struct tg_own_wait *wait;
    char *user;
    char *device;
};

static void finish(struct forgetting *f, enum tg_rc rc)
{
    struct tg_own *o = tg_own_back(f->wait);

    if (o != NULL && rc == TG_OK) {
        tg_own_answer(o, 204, TG_STR_NONE);
    } else if (o != NULL) {
        refuse(o, rc);
    }
    free(f->user);
    free(f->device);
    free(f);
}

static void on_told_end(enum tg_rc rc, void *arg)
{
    finish(arg, rc);
}

static void on_deleted(enum tg_rc rc, void *arg)
{
    struct forgetting *f = arg;
    const struct tg_control c = {
        .kind = TG_CONTROL_DEVICE_END, .user = tg_str_of(f->user), .device = tg_str_of(f->device)};

    if (rc == TG_OK) {
        rc = tg_control_send(f->w, &c, on_told_end, f);
        if (rc == TG_OK) {
            return;
        }
        (void)tg_clients_end_device(f->w, c.user, c.device, "device_deleted");
    }
    finish(f, rc);
}

static void run_delete(struct tg_own *o)
{
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);
    struct forgetting *f = NULL;
    tg_str id = TG_STR_NONE;
    enum tg_rc rc = tg_device_id_of_path(o->x, &id);

    if (rc != TG_OK) {
        tg_own_refuse(o, rc, TG_STR(TG_DEVICE_ID_RULE), TG_STR(""));
        return;
    }
    f = TG_NEW(struct forgetting);
    *f = (struct forgetting){.w = o->x->w,
                             .wait = tg_own_wait(o),
                             .user = tg_str_dup(tg_own_user(o)),
                             .device = tg_str_dup(id)};
    rc = store == NULL ? TG_ESTORE
                       : tg_store_device_delete(store, tg_own_user(o), id, on_deleted, f);
    if (rc != TG_OK) {
        finish(f, rc);
    }
}

void tg_device_delete_start(struct tg_exchange *x)
{
    static const struct tg_own_kind kind = {.run = run_delete, .is_for_all = true};

    tg_own_start(x, &kind);
}

/* ---- a fresh token ---- */

/* It stands in the log, sealed; the streams have it as soon as their gateways have read it. */
static void on_told_token(enum tg_rc rc, void *arg)
{
    struct tg_own *o = tg_own_back(arg);

    if (o != NULL && rc == TG_OK) {
        tg_own_answer(o, 204, TG_STR_NONE);
    } else if (o != NULL) {
        refuse(o, rc);
    }
}

static enum tg_rc read_device(struct tg_own *o, tg_str *ret_id)
{
    json_t *root = NULL;
    const json_t *device = NULL;
    tg_str id = TG_STR_NONE;
    enum tg_rc rc = tg_json_parse(tg_buf_view(&o->body), o->x->w->opts->own_body_bytes, &root);

    device = json_object_get(root, "device");
    if (json_is_string(device)) {
        id = tg_str_make(json_string_value(device), json_string_length(device));
    }
    if (rc == TG_OK && !tg_device_is_id(id)) {
        rc = TG_EBADJSON;
    }
    if (rc == TG_OK) {
        *ret_id = tg_arena_str(&o->x->req->arena, id);
    }
    json_decref(root);
    return rc;
}

static void run_token(struct tg_own *o)
{
    struct tg_control c = {.kind = TG_CONTROL_TOKEN, .user = tg_own_user(o)};
    struct tg_own_wait *wait = NULL;
    enum tg_rc rc = read_device(o, &c.device);

    if (rc != TG_OK) {
        tg_own_refuse(o, rc, TG_STR("the body names a device: {\"device\":\"..\"}"), TG_STR(""));
        return;
    }
    c.token = o->token->text;
    wait = tg_own_wait(o);
    rc = tg_control_send(o->x->w, &c, on_told_token, wait);
    if (rc != TG_OK) {
        (void)tg_own_back(wait);
        refuse(o, rc);
    }
}

void tg_device_token_start(struct tg_exchange *x)
{
    static const struct tg_own_kind kind = {.run = run_token, .has_body = true};

    tg_own_start(x, &kind);
}
