/* alg.c - the table of signature algorithms. */
#include "auth/alg.h"

struct alg_row {
    tg_str name;
    size_t signature_bytes;
};

static const struct alg_row algs[] = {
    [TG_ALG_NONE] = {TG_STR_INIT(""), 0},        [TG_ALG_HS256] = {TG_STR_INIT("HS256"), 32},
    [TG_ALG_HS384] = {TG_STR_INIT("HS384"), 48}, [TG_ALG_HS512] = {TG_STR_INIT("HS512"), 64},
    [TG_ALG_RS256] = {TG_STR_INIT("RS256"), 0},  [TG_ALG_RS384] = {TG_STR_INIT("RS384"), 0},
    [TG_ALG_RS512] = {TG_STR_INIT("RS512"), 0},  [TG_ALG_ES256] = {TG_STR_INIT("ES256"), 64},
    [TG_ALG_ES384] = {TG_STR_INIT("ES384"), 96}, [TG_ALG_ES512] = {TG_STR_INIT("ES512"), 132},
};

enum tg_alg tg_alg_of(tg_str name)
{
    for (enum tg_alg alg = TG_ALG_HS256; alg <= TG_ALG_ES512; alg++) {
        if (tg_str_eq(algs[alg].name, name)) {
            return alg;
        }
    }
    return TG_ALG_NONE;
}

tg_str tg_alg_name(enum tg_alg alg)
{
    return algs[alg].name;
}

size_t tg_alg_signature_bytes(enum tg_alg alg)
{
    return algs[alg].signature_bytes;
}
