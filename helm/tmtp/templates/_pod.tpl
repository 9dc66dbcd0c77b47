{{/* Parts of pods. Every pod of the chart, of the trial's databases too, is made of these. */}}

{{- define "postern.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "postern.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What all pods of ours begin with: (dict "root" $ "account" NAME). */}}
{{- define "postern.podStart" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# Kubernetes would add variables for every Service, some of which look like settings.
enableServiceLinks: false
securityContext:
  {{- include "postern.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where pods of a component run: (dict "root" $ "component" NAME "values" .Values.NAME). */}}
{{- define "postern.placement" -}}
{{- $own := ternary (include "postern.priorityClass" .root) "" .root.Values.priorityClass.create }}
{{- with .values.priorityClassName | default $own }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "postern.selector" $ | nindent 8 }}
    # Only pods of one revision are counted, else a rolling upgrade ends lopsided.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "postern.priorityClass" -}}
{{ .Release.Namespace }}-{{ include "postern.name" . }}
{{- end }}

{{/* The probes of a program, all at its monitor port. */}}
{{- define "postern.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: monitor}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: monitor}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: monitor}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- define "postern.ourContainer" -}}
image: {{ include "postern.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "postern.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* A file of a Secret as a volume: (list VOLUME SECRET KEY FILE). Readable for the group, which `fsGroup` makes ours. */}}
{{- define "postern.secretVolume" -}}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 }}
    defaultMode: 288
    items:
      - key: {{ index . 2 }}
        path: {{ index . 3 }}
{{- end }}

{{/* Files for TLS to a store, where its URL finds them: (list $ "redis"). As a whole, so that renewed ones appear. */}}
{{- define "postern.storeMount" -}}
{{- if (get (index . 0).Values (index . 1)).tlsSecret -}}
- {name: {{ index . 1 }}-tls, mountPath: /etc/postern/{{ index . 1 }}, readOnly: true}
{{- end -}}
{{- end }}

{{- define "postern.storeVolume" -}}
{{- with (get (index . 0).Values (index . 1)).tlsSecret -}}
- name: {{ index $ 1 }}-tls
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end -}}
{{- end }}

{{/* What short jobs of tmtpctl may use. */}}
{{- define "postern.jobResources" -}}
requests: {cpu: 50m, memory: 64Mi}
limits: {memory: 256Mi}
{{- end }}

{{- define "postern.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "postern.secret.postgres" . }}
      key: {{ include "postern.key.postgres" . }}
{{- end }}

{{/* A container that brings the database to the schema of this release; waits for the database. */}}
{{- define "postern.migrate" -}}
- name: migrate
  {{- include "postern.ourContainer" . | nindent 2 }}
  command: [/usr/local/bin/tmtpctl]
  args: [migrate, --wait, "300", --shards, {{ .Values.migration.shards | quote }}]
  env:
    {{- include "postern.databaseUrl" . | nindent 4 }}
  resources:
    {{- include "postern.jobResources" . | nindent 4 }}
  {{- with include "postern.storeMount" (list . "postgres") }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* In a trial the database comes with the programs, too late for a hook before the install: each pod migrates it first. */}}
{{- define "postern.trialMigration" -}}
{{- if .Values.trial.enabled }}
initContainers:
  {{- include "postern.migrate" . | nindent 2 }}
{{- end }}
{{- end }}
