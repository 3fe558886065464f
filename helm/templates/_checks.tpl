{{/* What would render and then go wrong. Each message names the value and the mend. */}}
{{- define "tuma.checks" -}}
{{- if not .Values.accounts }}{{ fail "accounts: none is configured; add one, such as accounts.lisoloo-main.provider=lisoloo" }}{{ end }}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- $floats := or (not (regexMatch "[0-9]" $tag)) (contains "latest" $tag) (regexMatch "^v?[0-9]{1,3}([.][0-9]{1,3})?$" $tag) }}
{{- if and (not .Values.image.digest) $floats }}
{{- fail (printf "image.tag: %q floats, so pods of one release may differ; name a version, or image.digest" $tag) }}{{ end }}
{{- if not (regexMatch "^[a-z]" (include "tuma.name" .)) }}
{{- fail (printf "nameOverride: %q begins with no letter, as the name of a Service must; set one that does" (include "tuma.name" .)) }}{{ end }}
{{- if and .Values.existingSecret .Values.secrets }}{{ fail "existingSecret: secrets are given as well; remove one of the two" }}{{ end }}
{{- if and .Values.existingSecret (or .Values.redis.url .Values.valkey.enabled) }}
{{- fail "existingSecret: it holds redis-url, but redis.url or valkey.enabled names a server as well; remove one of the two" }}{{ end }}
{{- if and .Values.redis.url .Values.valkey.enabled }}{{ fail "valkey.enabled: redis.url names a server already; remove one of the two" }}{{ end }}
{{- if not (or .Values.existingSecret .Values.redis.url .Values.valkey.enabled) }}
{{- fail "redis.url: no server is named; set it, or existingSecret with the key redis-url" }}{{ end }}
{{- if not .Values.existingSecret }}
{{- range $name, $account := .Values.accounts }}
{{- if not (or $.Values.sandbox.enabled (hasKey $.Values.secrets (printf "%s.api-key" $name))) }}
{{- fail (printf "secrets: %s.api-key is missing; set it, or existingSecret" $name) }}{{ end }}
{{- range ($account.secretKeys | default list) }}
{{- if and (ne . "api-key") (not (hasKey $.Values.secrets (printf "%s.%s" $name .))) }}
{{- fail (printf "secrets: %s.%s is missing, which accounts.%s.secretKeys names; set it" $name . $name) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "tuma.checkSecrets" . }}
{{- if and .Values.gateway.ingress.enabled .Values.gateway.httpRoute.enabled }}
{{- fail "gateway.ingress.enabled: gateway.httpRoute is enabled as well; choose one way in" }}{{ end }}
{{- if and .Values.gateway.ingress.enabled (not .Values.gateway.ingress.host) }}
{{- fail "gateway.ingress.host: no host is named; set that of publicUrl" }}{{ end }}
{{- if .Values.gateway.httpRoute.enabled }}
{{- if not .Values.gateway.httpRoute.parentRefs }}
{{- fail "gateway.httpRoute.parentRefs: no Gateway is named, so no receipt comes in; name the one that the route is attached to" }}{{ end }}
{{- if not .Values.gateway.httpRoute.host }}
{{- fail "gateway.httpRoute.host: no host is named; set that of publicUrl" }}{{ end }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.publicUrl) (or .Values.gateway.ingress.enabled .Values.gateway.httpRoute.enabled) }}
{{- fail "publicUrl: receipts have a way in, but providers are not told of it; set the address that they reach" }}{{ end }}
{{- include "tuma.checkWayIn" (dict "where" "gateway.ingress" "way" .Values.gateway.ingress "publicUrl" .Values.publicUrl) }}
{{- include "tuma.checkWayIn" (dict "where" "gateway.httpRoute" "way" .Values.gateway.httpRoute "publicUrl" .Values.publicUrl) }}
{{- if lt (int .Values.gateway.graceSeconds) (add .Values.gateway.preStopSeconds 10 | int) }}
{{- fail (printf "gateway.graceSeconds: %d is less than preStopSeconds and 10 for the receipts in flight; set at least %d" (int .Values.gateway.graceSeconds) (add .Values.gateway.preStopSeconds 10)) }}{{ end }}
{{- include "tuma.checkBudget" (dict "where" "gateway" "budget" .Values.gateway.podDisruptionBudget) }}
{{- range $route, $carriers := .Values.routes }}
{{- range $prefix, $names := $carriers }}
{{- range $names }}
{{- if not (hasKey $.Values.accounts .) }}{{ fail (printf "routes.%s: %q is not one of accounts (%s)" $route . (keys $.Values.accounts | sortAlpha | join ", ")) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $seen := dict }}
{{- range $name := keys (.Values.workers | default (dict "main" dict)) | sortAlpha }}
{{- $worker := include "tuma.worker" (dict "root" $ "name" $name) | fromYaml }}
{{- $accounts := include "tuma.accountsOf" (dict "root" $ "worker" $worker) | fromJsonArray }}
{{- range $accounts }}
{{- if not (hasKey $.Values.accounts .) }}{{ fail (printf "workers.%s.accounts: %q is not one of accounts (%s)" $name . (keys $.Values.accounts | sortAlpha | join ", ")) }}{{ end }}
{{- if hasKey $seen . }}{{ fail (printf "workers.%s.accounts: %q is served by workers.%s already; name each account once" $name . (get $seen .)) }}{{ end }}
{{- $_ := set $seen . $name }}
{{- $timeout := get (get $.Values.accounts .) "timeout" | default 30 | float64 }}
{{- if lt (float64 $worker.shutdownSeconds) (mulf 3 $timeout) }}
{{- fail (printf "workers.%s.shutdownSeconds: %v is less than three calls of %s (timeout %v), so calls in flight may be abandoned; set at least %v" $name $worker.shutdownSeconds . $timeout (mulf 3 $timeout)) }}{{ end }}
{{- end }}
{{- if lt (int $worker.graceSeconds) (add $worker.shutdownSeconds 15 | int) }}
{{- fail (printf "workers.%s.graceSeconds: %d is less than shutdownSeconds and 15 to put back the rest; set at least %d" $name (int $worker.graceSeconds) (add $worker.shutdownSeconds 15)) }}{{ end }}
{{- include "tuma.checkBudget" (dict "where" (printf "workers.%s" $name) "budget" $worker.podDisruptionBudget) }}
{{- $ceiling := (include "tuma.ceiling" (dict "root" $ "worker" $worker) | fromJson).ceiling | int }}
{{- $scaled := ne $worker.autoscaling.mode "none" }}
{{- $most := ternary (int $worker.autoscaling.maxReplicas) (int $worker.replicas) $scaled }}
{{- if and (gt $ceiling 0) (gt $most (max 2 $ceiling | int)) (not $worker.allowAboveCeiling) }}
{{- fail (printf "workers.%s.%s: %d replicas, but the limits of %s keep no more than %d busy; lower it, or set allowAboveCeiling" $name (ternary "autoscaling.maxReplicas" "replicas" $scaled) $most (join ", " $accounts) $ceiling) }}{{ end }}
{{- if and $scaled (eq $ceiling 0) (eq $most 0) }}{{ fail (printf "workers.%s.autoscaling.maxReplicas: without a limit of calls there is no ceiling to take; set it" $name) }}{{ end }}
{{- if and (eq $worker.autoscaling.mode "hpa") (gt (len $accounts) 1) }}{{ fail (printf "workers.%s.autoscaling.mode: hpa takes the largest of its metrics, where the slots of %s must be added up; use keda, or workers for each account" $name (join ", " $accounts)) }}{{ end }}
{{- if and $scaled (gt (int $worker.autoscaling.minReplicas) (ternary $most (max 2 $ceiling | int) (gt $most 0))) }}
{{- fail (printf "workers.%s.autoscaling.minReplicas: %d is more than the most; lower it" $name (int $worker.autoscaling.minReplicas)) }}{{ end }}
{{- end }}
{{- range keys .Values.accounts | sortAlpha }}
{{- if not (hasKey $seen .) }}{{ fail (printf "accounts.%s: no workers serve it; name it in workers.<name>.accounts" .) }}{{ end }}
{{- end }}
{{- end }}

{{/* A secret under a name that nobody reads would be missed by nobody. Others, such as a certificate, may stand beside them. */}}
{{- define "tuma.checkSecrets" -}}
{{- $kinds := list "api-key" "webhook-password" "webhook-secret" "webhook-password-old" "webhook-secret-old" }}
{{- range $key := keys .Values.secrets | sortAlpha }}
{{- if eq $key "redis-url" }}{{ fail "secrets: redis-url is made of redis.url; set that, or existingSecret" }}{{ end }}
{{- $kind := splitList "." $key | last }}
{{- $name := trimSuffix (printf ".%s" $kind) $key }}
{{- if and (has $kind $kinds) (not (hasKey $.Values.accounts $name)) }}
{{- fail (printf "secrets: %s is of no account; accounts are %s" $key (keys $.Values.accounts | sortAlpha | join ", ")) }}{{ end }}
{{- if and (hasKey $.Values.accounts $name) (not (has $kind $kinds)) }}
{{- fail (printf "secrets: %s is none that an account has; these are %s" $key (join ", " $kinds)) }}{{ end }}
{{- end }}
{{- end }}

{{/* Providers are told publicUrl and /receipts/ behind it; the way in is for its host, and leads from /receipts/ on. */}}
{{- define "tuma.checkWayIn" -}}
{{- $told := .publicUrl | default "" | trimSuffix "/" | regexFind "//.*" | trimPrefix "//" }}
{{- $host := regexReplaceAll ":[0-9]+$" $told "" }}
{{- $led := ternary (hasSuffix (trimPrefix "*" .way.host) $host) (eq .way.host $host) (hasPrefix "*." .way.host) }}
{{- if and .way.enabled .publicUrl (or (not $led) (contains "/" $told)) }}
{{- fail (printf "publicUrl: %q is not what %s.host %q leads in, so no receipt would find the gateway; set the address of that host, without a path" .publicUrl .where .way.host) }}{{ end }}
{{- end }}

{{- define "tuma.checkBudget" -}}
{{- if and .budget.enabled (eq (toString .budget.maxUnavailable) "0") }}
{{- fail (printf "%s.podDisruptionBudget.maxUnavailable: 0 lets no node be drained; set at least 1" .where) }}{{ end }}
{{- end }}
