{{/* Short enough for what is put behind it: a Service has 63 characters, and a ScaledObject 54, since KEDA puts nine before them. */}}
{{- define "tuma.name" -}}{{ default .Release.Name .Values.nameOverride | trunc 30 | trimSuffix "-" }}{{- end }}

{{- define "tuma.selector" -}}
app.kubernetes.io/name: tuma
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tuma.labels" -}}
{{ include "tuma.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "tuma.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{- end -}}
{{- end }}

{{- define "tuma.secret" -}}{{ default (printf "%s-secrets" (include "tuma.name" .)) .Values.existingSecret }}{{- end }}
{{- define "tuma.serviceAccount" -}}{{ default (ternary (include "tuma.name" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}{{- end }}
{{- define "tuma.sandboxUrl" -}}http://{{ include "tuma.name" . }}-sandbox:8090{{- end }}

{{/* A key of its own for each account, as a provider would give it. Arguments: name, provider. */}}
{{- define "tuma.sandboxKey" -}}{{ get (dict "lisoloo" "sk_test_" "lineserve" "lineserve-") .provider }}{{ .name }}{{- end }}

{{/* The sandbox's settings, as JSON: it knows those keys, and the one that it is documented with. */}}
{{- define "tuma.sandboxConfig" -}}
{{- $config := dict "lisoloo" (dict "keys" (dict "sk_test_Sandbox0000000000000000000000000" dict)) "lineserve" (dict "keys" (dict "lineserve-sandbox-key" dict)) }}
{{- range $name, $account := .Values.accounts }}
{{- $_ := set (get $config $account.provider).keys (include "tuma.sandboxKey" (dict "name" $name "provider" $account.provider)) (dict "label" $name) }}
{{- end }}
{{- $config | toJson }}
{{- end }}

{{/* Where providers reach the gateway; to try out, where the sandbox does. */}}
{{- define "tuma.publicUrl" -}}
{{- $inside := ternary (printf "http://%s-gateway" (include "tuma.name" .)) "" (and .Values.sandbox.enabled .Values.gateway.enabled) }}
{{- default $inside .Values.publicUrl }}
{{- end }}

{{/* The secrets that an account has, as JSON: its key, those that it names, and those that are given. Arguments: root, name. */}}
{{- define "tuma.secretKeys" -}}
{{- $keys := concat (list "api-key") ((get .root.Values.accounts .name).secretKeys | default list) }}
{{- range $given := keys .root.Values.secrets | sortAlpha }}
{{- if hasPrefix (printf "%s." $.name) $given }}{{ $keys = append $keys (trimPrefix (printf "%s." $.name) $given) }}{{ end }}
{{- end }}
{{- uniq $keys | toJson }}
{{- end }}

{{/* One deployment of workers: what it says over the defaults. Arguments: root, name. */}}
{{- define "tuma.worker" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.workerDefaults) (deepCopy (get .root.Values.workers .name | default dict))) }}
{{- end }}

{{/* The accounts of one deployment of workers, as JSON. Arguments: root, worker. */}}
{{- define "tuma.accountsOf" -}}
{{- .worker.accounts | default (keys .root.Values.accounts | sortAlpha) | toJson }}
{{- end }}

{{/* Calls per second that an account's limits allow; 0 where only messages are limited. A test compares the table with the providers. */}}
{{- define "tuma.rate" -}}
{{- $documented := dict "lisoloo" (list "60 calls/min") "lineserve" (list "100 calls/min" "1000 calls/h" "10000 messages/h") }}
{{- $units := dict "s" 1 "second" 1 "min" 60 "minute" 60 "h" 3600 "hour" 3600 "d" 86400 "day" 86400 }}
{{- $rate := 0.0 }}
{{- range (.limits | default (get $documented .provider)) }}
{{- if not (contains "messages" .) }}
{{- $count := regexFind "^ *[0-9.]+" . | trim | float64 }}
{{- $per := regexFind "/ *[0-9.]*" . | trimPrefix "/" | trim | default "1" | float64 }}
{{- $one := divf $count (mulf $per (get $units (regexFind "[a-z]+ *$" . | trim))) }}
{{- $rate = ternary $one (minf $rate $one) (eq $rate 0.0) }}
{{- end }}
{{- end }}
{{- $rate }}
{{- end }}

{{/* Rate, useful slots and the most replicas that can be of use, as JSON; a ceiling of 0 is none. Arguments: root, worker. */}}
{{- define "tuma.ceiling" -}}
{{- $rate := 0.0 }}{{- $limited := true }}
{{- range (include "tuma.accountsOf" . | fromJsonArray) }}
{{- $one := include "tuma.rate" (get $.root.Values.accounts .) | float64 }}
{{- $rate = addf $rate $one }}{{- if eq $one 0.0 }}{{- $limited = false }}{{- end }}
{{- end }}
{{- $slots := mulf $rate .worker.callSeconds 1.25 | ceil }}
{{- $ceiling := ternary (addf (divf $slots .worker.threads | ceil) 1 | int) 0 $limited }}
{{- dict "rate" (round $rate 3) "slots" $slots "ceiling" $ceiling | toJson }}
{{- end }}

{{- define "tuma.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "tuma.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Spreading over hosts and zones. Arguments: root, component. */}}
{{- define "tuma.spread" -}}
topologySpreadConstraints:
  {{- range (list "topology.kubernetes.io/zone" "kubernetes.io/hostname") }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: { {{ include "tuma.selector" $ | replace "\n" ", " }} } }
    matchLabelKeys: [pod-template-hash]
  {{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 50
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector: { matchLabels: { {{ include "tuma.selector" . | replace "\n" ", " }} } }
{{- end }}

{{/* What every container of ours is told. */}}
{{- define "tuma.env" -}}
- { name: TUMA_REDIS_URL_FILE, value: /etc/tuma/secrets/redis-url }
- { name: TUMA_LOG_FORMAT, value: json }
{{- end }}

{{/* Where a pod may be put, and how it is called there. */}}
{{- define "tuma.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tuma.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tuma.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: secrets, mountPath: /etc/tuma/secrets, readOnly: true }
{{- end }}

{{- define "tuma.volumes" -}}
- { name: tmp, emptyDir: { sizeLimit: 64Mi } }
- { name: secrets, secret: { secretName: {{ include "tuma.secret" . }}, defaultMode: 0440 } }
{{- end }}

{{- define "tuma.rollOn" -}}
checksum/config: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum }}
{{- end }}
